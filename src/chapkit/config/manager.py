"""Configurations in terms of schemas."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, Generic, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import TypeVar

from chapkit.config.models import Config
from chapkit.config.repository import ConfigRepository
from chapkit.config.schemas import BaseConfig, ConfigIn, ConfigOut
from chapkit.core.clock import to_text
from chapkit.core.errors import ConfigurationError, UnprocessableError
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.manager import BaseManager
from chapkit.core.query import Query
from chapkit.core.rendering import moment_etag

DataT = TypeVar("DataT", bound=BaseConfig, default=BaseConfig)
_FINGERPRINT_BYTES = 8
_NULL = "null"
_SECRET = b'"writeOnly":true'


class ConfigShape(Generic[DataT]):
    """A configuration class and the fingerprint of its schema."""

    def __init__(self, data_cls: type[DataT]) -> None:
        self.data_cls = data_cls
        self.in_schema: type[ConfigIn[DataT]] = ConfigIn[data_cls]  # type: ignore[valid-type]
        self.out_schema: type[ConfigOut[DataT]] = ConfigOut[data_cls]  # type: ignore[valid-type]
        schema = to_json(data_cls.model_json_schema())
        if _SECRET in schema:
            raise ConfigurationError(
                f"{data_cls.__name__} has a secret among its fields; configurations are read by clients, so a secret "
                "would be stored as stars: take it from the environment",
                code="config-secret-field",
                found=data_cls.__name__,
            )
        self.fingerprint = hashlib.blake2b(schema, digest_size=_FINGERPRINT_BYTES).hexdigest()

    def complete(self, document: str) -> str:
        """Return a document of an older schema with today's defaults; as it is, where it does not fit any more."""
        try:
            return self.data_cls.model_validate_json(document).model_dump_json()
        except ValidationError as error:
            get_logger("chapkit.config").warning("config.outdated", errors=error.error_count())
            return document


class ConfigManager(BaseManager[Config, ConfigIn[DataT], ConfigOut[DataT]], Generic[DataT]):
    """Manages the configurations of one class."""

    repository: ConfigRepository

    def __init__(self, repo: ConfigRepository, data_cls: type[DataT], shape: ConfigShape[DataT] | None = None) -> None:
        self.shape = shape or ConfigShape(data_cls)
        super().__init__(repo, Config, self.shape.out_schema)
        self.data_cls = data_cls

    async def find_by_name(self, name: str) -> ConfigOut[DataT] | None:
        """Return the newest configuration of this name, or `None`."""
        async with self._reading():
            entity = await self.repository.find_by_name(name)
        return None if entity is None else self._to_output_schema(entity)

    async def find_all_by_name(self, name: str) -> Sequence[ConfigOut[DataT]]:
        """Return the configurations of this name, the newest first."""
        async with self._reading():
            return self._to_output_schemas(await self.repository.find_all_by_name(name))

    def render(self, entity: Config) -> bytes:
        """Return the JSON of one configuration; its document goes out as it is stored."""
        row = (
            entity.id,
            entity.created_at,
            entity.updated_at,
            to_json(entity.tags).decode(),
            entity.name,
            entity.document,
            entity.shape,
        )
        return self._compose(row)

    async def render_by_id(self, id: ULID) -> tuple[bytes, str] | None:
        """Return the JSON of one configuration and the tag of its state, or `None`."""
        row = await self.repository.find_raw(id)
        if row is None:
            return None
        changed = row[2]
        moment = datetime.fromisoformat(changed) if isinstance(changed, str) else changed
        return self._compose(row), moment_etag(moment)

    async def render_list(self, query: Query) -> list[tuple[str, bytes]]:
        """Return the id and the JSON of each configuration that `query` asks for."""
        return [(row[0], self._compose(row)) for row in await self.repository.list_raw(query)]

    def _compose(self, row: Sequence[Any]) -> bytes:
        id, created_at, updated_at, tags, name, document, shape = row
        if shape != self.shape.fingerprint:
            document = self.shape.complete(document)
        if not isinstance(created_at, str):
            created_at, updated_at = to_text(created_at), to_text(updated_at)
        return (
            f'{{"id":"{id}","created_at":"{created_at}","updated_at":"{updated_at}",'
            f'"tags":{tags},"name":{encode_basestring(name)},"data":{document}}}'
        ).encode()

    def _values(self, data: ConfigIn[DataT], fields: set[str]) -> dict[str, Any]:
        values: dict[str, Any] = {name: getattr(data, name) for name in fields - {"data"}}
        if "data" in fields:
            values["document"] = document = _to_document(data.data)
            if _NULL in document:
                # Pydantic writes numbers that are not finite as null, which would say something else.
                _require_finite(data.data.model_dump(), ("data",))
            values["shape"] = self.shape.fingerprint
            values["kind"] = self.repository.kind
        return values

    def _document(self, entity: Config) -> dict[str, Any]:
        # Not by way of the schema: what no longer fits it can be mended by a patch.
        return {"name": entity.name, "tags": entity.tags, "data": entity.data}

    def _to_output_schema(self, entity: Config) -> ConfigOut[DataT]:
        return self.out_schema_cls.model_validate(
            {
                "id": entity.id,
                "created_at": entity.created_at,
                "updated_at": entity.updated_at,
                "tags": entity.tags,
                "name": entity.name,
                "data": entity.data,
            }
        )


def _to_document(data: BaseConfig) -> str:
    try:
        return data.model_dump_json()
    except PydanticSerializationError as error:
        raise UnprocessableError(
            "data cannot be stored as JSON: it is nested too deeply, or holds text that is not Unicode",
            code="document-not-storable",
            field="data",
        ) from error


def _require_finite(value: Any, path: tuple[str, ...]) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UnprocessableError(
            f"{'.'.join(path)} is {value}, which JSON cannot hold",
            code="number-not-finite",
            field=".".join(path),
            found=str(value),
        )
    if isinstance(value, Mapping):
        for name, item in cast("Mapping[str, Any]", value).items():
            _require_finite(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            _require_finite(item, (*path, str(index)))

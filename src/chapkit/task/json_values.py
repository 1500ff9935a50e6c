"""Any value as JSON values: mappings, lists, texts, numbers, booleans, `None`."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, TypeAlias, cast

from pydantic_core import PydanticSerializationError, to_jsonable_python

from chapkit.core.error_text import text_of
from chapkit.core.errors import UnprocessableError
from chapkit.task.errors import ValueNotSerializableError

Writer: TypeAlias = Callable[[Any], Any]
_PLAIN: Final = frozenset({type(None), bool, int, str})
_MAX_DEPTH: Final = 200


class JsonValues:
    """Writes values of the types that JSON, Pydantic or somebody else knows.

    Args:
        writer_of: Returns what makes JSON values of values of a type, or `None`.
    """

    def __init__(self, writer_of: Callable[[type[Any]], Writer | None]) -> None:
        self._writer_of = writer_of

    def write(self, value: Any, path: str = "", depth: int = 0) -> Any:
        """Return the value as JSON values.

        Raises:
            ValueNotSerializableError: Nobody knows its type (`value-not-serializable`).
            UnprocessableError: A number is not finite (`number-not-finite`).
        """
        kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind in _PLAIN:
            return value
        if depth > _MAX_DEPTH:
            raise ValueNotSerializableError(kind, path[:100], "it is nested too deeply, or contains itself")
        if kind is float:
            return _finite(value, path)
        writer = self._writer_of(kind)
        if writer is not None:
            written = writer(value)
            if type(written) is kind and kind is not list and kind is not dict:
                raise ValueNotSerializableError(kind, path, "its to_json returns the same type")
            return self.write(written, path, depth + 1)
        return self._write_known(value, path, depth + 1)

    def _write_known(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, Enum | PurePath):
            return self.write(value.value if isinstance(value, Enum) else str(value), path, depth)
        for base in (str, int, float):
            if isinstance(value, base):
                return self.write(base(value), path, depth)
        if isinstance(value, Mapping):
            return self._write_members(value, path, depth)  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, list | tuple):
            items = cast("Collection[Any]", value)
            # Rows of numbers and texts, of which a frame has a million.
            if _PLAIN.issuperset(map(type, items)):
                return list(items)
            return [self.write(item, _below(path, index), depth) for index, item in enumerate(items)]
        if isinstance(value, set | frozenset):
            # A set has no order; the same one should look the same each time.
            return sorted((self.write(item, path, depth) for item in cast("Iterable[Any]", value)), key=repr)
        kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
        names = _field_names(kind)
        if names is not None:
            return {name: self.write(getattr(value, name), _below(path, name), depth) for name in names}
        return self._leave_to_pydantic(value, path, depth)

    def _write_members(self, members: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        return {
            (name := self._key(key, path)): self.write(item, _below(path, name), depth) for key, item in members.items()
        }

    def _leave_to_pydantic(self, value: Any, path: str, depth: int) -> Any:
        kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]

        def write_unknown(unknown: Any) -> Any:
            if unknown is value:
                raise ValueNotSerializableError(kind, path)
            return self.write(unknown, path, depth)

        try:
            plain = to_jsonable_python(value, fallback=write_unknown)
        except ValueNotSerializableError:
            raise
        except (PydanticSerializationError, ValueError) as error:
            raise ValueNotSerializableError(kind, path, text_of(error)[:200]) from error
        return self.write(plain, path, depth)

    def _key(self, key: Any, path: str) -> str:
        if type(key) is str:
            return key
        place = f"A name in {path or 'the value'}"
        written = self.write(key, place)
        if isinstance(written, bool | None):
            return "null" if written is None else str(written).lower()
        if isinstance(written, str | int | float):
            return str(written)
        kind: type[Any] = type(key)  # pyright: ignore[reportUnknownVariableType]
        raise ValueNotSerializableError(kind, place)


def _field_names(kind: type[Any]) -> list[str] | None:
    """Return the fields of a plain dataclass, or of a class of attrs."""
    if hasattr(kind, "__pydantic_serializer__"):
        return None
    if dataclasses.is_dataclass(kind):
        return [each.name for each in dataclasses.fields(kind)]
    attributes: Any = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else [each.name for each in attributes]


def _finite(value: float, path: str) -> float:
    if math.isfinite(value):
        return value
    raise UnprocessableError(
        f"{path or 'The value'} is {value}, which JSON cannot hold; use None for what is missing",
        code="number-not-finite",
        field=path,
        found=str(value),
    )


def _below(path: str, part: str | int) -> str:
    return f"{path}.{part}" if path else str(part)

"""Configurations, seen from a client."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from chapkit.client.calls import Call, present, reader
from chapkit.client.crud_calls import CrudCalls, applied
from chapkit.client.resource import AsyncResource, Resource
from chapkit.client.transport import AsyncHttpTransport, HttpTransport
from chapkit.config.schemas import BaseConfig, ConfigOut
from chapkit.core.schemas import BulkOperationResult

PREFIX = "/api/v1/configs"
DataT = TypeVar("DataT", bound=BaseConfig)
OtherT = TypeVar("OtherT", bound=BaseConfig)
Data: TypeAlias = Mapping[str, Any] | BaseModel
"""The content of a configuration; what it leaves out gets the service's default."""


class ConfigCalls(CrudCalls[ConfigOut[DataT]], Generic[DataT]):
    """Calls to a collection of configurations."""

    def __init__(self, data_type: type[DataT], prefix: str = PREFIX) -> None:
        super().__init__(prefix, applied(ConfigOut, data_type))

    def find_by_name(self, name: str) -> Call[ConfigOut[DataT] | None]:
        """Read the newest of a name."""
        call = self.list(f"name:eq:{name}", "-created_at,-id", 1)
        read = reader(self.many)
        return Call("GET", call.path, lambda response: next(iter(read(response)), None), call.params)

    @staticmethod
    def body(name: str, data: Data, id: str | None, tags: Sequence[str]) -> dict[str, Any]:
        """Return what is sent of a configuration."""
        return present(id=id, name=name, data=data, tags=list(tags))


class Configs(Resource[ConfigOut[DataT]], Generic[DataT]):
    """The configurations of a service."""

    def __init__(self, transport: HttpTransport, data_type: type[DataT], prefix: str = PREFIX) -> None:
        self._config_calls = ConfigCalls(data_type, prefix)
        super().__init__(transport, self._config_calls)

    def typed(self, data_type: type[OtherT]) -> "Configs[OtherT]":
        """Return the same collection with `data` read as a class of yours."""
        return Configs(self.transport, data_type, self._config_calls.prefix)

    def create(self, name: str, data: Data, *, id: str | None = None, tags: Sequence[str] = ()) -> ConfigOut[DataT]:
        """Store a new configuration and return it with every default.

        Raises:
            Conflict: The identifier is taken.
            Invalid: The data breaks a rule of the service.
        """
        return self.transport.send(self._config_calls.create(self._config_calls.body(name, data, id, tags)))

    def find_by_name(self, name: str) -> ConfigOut[DataT] | None:
        """Return the newest configuration of this name, or `None`."""
        return self.transport.send(self._config_calls.find_by_name(name))

    def replace(
        self, id: str, name: str, data: Data, *, tags: Sequence[str] = (), etag: str | None = None
    ) -> ConfigOut[DataT]:
        """Store a configuration anew; a `None` in its data stays one."""
        return self.transport.send(
            self._config_calls.replace(id, self._config_calls.body(name, data, None, tags), etag)
        )

    def create_many(
        self, items: Iterable[Mapping[str, Any] | BaseModel], *, partial: bool = False
    ) -> BulkOperationResult[ConfigOut[DataT]]:
        """Store all of them or none; with `partial`, as many as possible, and the result says which."""
        return self.transport.send(self._config_calls.create_many(items, partial))


class AsyncConfigs(AsyncResource[ConfigOut[DataT]], Generic[DataT]):
    """The configurations of a service, to be awaited."""

    def __init__(self, transport: AsyncHttpTransport, data_type: type[DataT], prefix: str = PREFIX) -> None:
        self._config_calls = ConfigCalls(data_type, prefix)
        super().__init__(transport, self._config_calls)

    def typed(self, data_type: type[OtherT]) -> "AsyncConfigs[OtherT]":
        """Return the same collection with `data` read as a class of yours."""
        return AsyncConfigs(self.transport, data_type, self._config_calls.prefix)

    async def create(
        self, name: str, data: Data, *, id: str | None = None, tags: Sequence[str] = ()
    ) -> ConfigOut[DataT]:
        """Store a new configuration and return it with every default.

        Raises:
            Conflict: The identifier is taken.
            Invalid: The data breaks a rule of the service.
        """
        return await self.transport.send(self._config_calls.create(self._config_calls.body(name, data, id, tags)))

    async def find_by_name(self, name: str) -> ConfigOut[DataT] | None:
        """Return the newest configuration of this name, or `None`."""
        return await self.transport.send(self._config_calls.find_by_name(name))

    async def replace(
        self, id: str, name: str, data: Data, *, tags: Sequence[str] = (), etag: str | None = None
    ) -> ConfigOut[DataT]:
        """Store a configuration anew; a `None` in its data stays one."""
        return await self.transport.send(
            self._config_calls.replace(id, self._config_calls.body(name, data, None, tags), etag)
        )

    async def create_many(
        self, items: Iterable[Mapping[str, Any] | BaseModel], *, partial: bool = False
    ) -> BulkOperationResult[ConfigOut[DataT]]:
        """Store all of them or none; with `partial`, as many as possible, and the result says which."""
        return await self.transport.send(self._config_calls.create_many(items, partial))

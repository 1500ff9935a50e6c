"""Operations of your own beside the generic ones of a collection.

uvicorn examples.custom_operations_api:app
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from chapkit import ULID, BaseConfig, ConfigIn, ConfigManager, ConfigOut
from chapkit.api import ConfigRouter, ServiceBuilder, ServiceInfo, get_config_manager
from chapkit.config.feature import ConfigFeature
from chapkit.core.errors import ConflictError


class FlagConfig(BaseConfig):
    """A switch, and for how many of a hundred users it counts."""

    enabled: bool = False
    share: int = 100


class Toggle(BaseModel):
    """Which flags to switch, and to what."""

    ids: list[ULID]
    enabled: bool


class Copy(BaseModel):
    """Name of a copy."""

    name: str


FlagOut = ConfigOut[FlagConfig]
Flags = Annotated[ConfigManager[FlagConfig], Depends(get_config_manager)]


async def enable(entity_id: str, flags: Flags) -> FlagOut:
    """Switch one flag on."""
    return await flags.patch(ULID(entity_id), {"data": {"enabled": True}}, flags.shape.in_schema)


async def validate(entity_id: str, flags: Flags) -> dict[str, object]:
    """Tell what is odd about a flag."""
    flag = (await flags.get(ULID(entity_id))).data
    problems = [] if 0 <= flag.share <= 100 else [f"share is {flag.share}, which is no share of a hundred"]
    return {"valid": not problems, "problems": problems}


async def duplicate(entity_id: str, copy: Copy, flags: Flags) -> FlagOut:
    """Copy a flag under a name that is still free."""
    original = await flags.get(ULID(entity_id))
    if await flags.find_by_name(copy.name) is not None:
        raise ConflictError(f"There is a flag {copy.name!r} already", code="name-taken", field="name")
    return await flags.create(ConfigIn(name=copy.name, tags=original.tags, data=original.data))


async def reset(entity_id: str, flags: Flags) -> FlagOut:
    """Give a flag its defaults back; null removes a member, so its default returns."""
    return await flags.patch(ULID(entity_id), {"data": {"enabled": None, "share": None}}, flags.shape.in_schema)


async def bulk_toggle(toggle: Toggle, flags: Flags) -> Sequence[FlagOut]:
    """Switch many flags, all or none: the request is one transaction."""
    changes = {"data": {"enabled": toggle.enabled}}
    return [await flags.patch(id, changes, flags.shape.in_schema) for id in toggle.ids]


async def summary(flags: Flags) -> dict[str, int]:
    """Count flags by their state."""
    switched_on = sum(flag.data.enabled for flag in await flags.find_all())
    return {"enabled": switched_on, "disabled": await flags.count() - switched_on}


class FlagRouter(ConfigRouter):
    """The generic routes and six more."""

    def _register_routes(self) -> None:
        super()._register_routes()
        self.register_entity_operation("enable", enable, http_method="PATCH")
        self.register_entity_operation("validate", validate)
        self.register_entity_operation("duplicate", duplicate, http_method="POST", status_code=201)
        self.register_entity_operation("reset", reset, http_method="POST")
        self.register_collection_operation("bulk-toggle", bulk_toggle, http_method="PATCH")
        self.register_collection_operation("summary", summary)


class FlagFeature(ConfigFeature):
    """Configurations with the routes of flags."""

    def routers(self) -> Iterable[APIRouter]:
        """Return the routes of the collection."""
        shape = self.shape
        yield FlagRouter.create(self.prefix, self.tags, shape.in_schema, shape.out_schema, get_config_manager)


app = (
    ServiceBuilder(
        info=ServiceInfo(display_name="Feature flags"),
        database_url="sqlite+aiosqlite:///data/custom_operations_api.db",
    )
    .with_health()
    .with_feature(FlagFeature(FlagConfig, prefix="/api/v1/flags", tags=("Flags",)))
    .build()
)

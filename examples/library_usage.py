"""chapkit as a library: a table and routes of your own beside its configurations.

uvicorn examples.library_usage:app
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import EmailStr, Field
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from chapkit import BaseConfig, BaseManager, BaseRepository, Entity, EntityIn, EntityOut
from chapkit.api import CrudRouter, ServiceBuilder, ServiceInfo, get_config_manager, get_session
from chapkit.config.manager import ConfigManager
from chapkit.core.columns import JsonType


class LimitConfig(BaseConfig):
    """How many subscribers the service takes."""

    most: int = 100


class Subscriber(Entity):
    """Somebody who gets the forecast by mail."""

    __tablename__ = "example_subscribers"

    email: Mapped[str] = mapped_column(unique=True)
    wishes: Mapped[dict[str, Any]] = mapped_column(JsonType, default=dict)


class SubscriberIn(EntityIn):
    """A subscriber as a client sends it."""

    email: EmailStr
    wishes: dict[str, Any] = Field(default_factory=dict[str, Any])


class SubscriberOut(EntityOut):
    """A subscriber as the service tells of it."""

    email: str
    wishes: dict[str, Any]


SubscriberManager = BaseManager[Subscriber, SubscriberIn, SubscriberOut]


async def get_subscribers(session: Annotated[AsyncSession, Depends(get_session)]) -> SubscriberManager:
    """Return the manager in the request's unit of work."""
    return SubscriberManager(BaseRepository(session, Subscriber), Subscriber, SubscriberOut)


rooms = APIRouter(prefix="/api/v1/rooms", tags=["Rooms"])


@rooms.get("")
async def count_rooms(
    subscribers: Annotated[SubscriberManager, Depends(get_subscribers)],
    limits: Annotated[ConfigManager[LimitConfig], Depends(get_config_manager)],
) -> dict[str, int]:
    """Tell how many more may come; both managers share one transaction."""
    limit = await limits.find_by_name("limit")
    most = LimitConfig().most if limit is None else limit.data.most
    return {"left": most - await subscribers.count()}


app = (
    ServiceBuilder(
        info=ServiceInfo(display_name="Subscribers"), database_url="sqlite+aiosqlite:///data/library_usage.db"
    )
    .with_health()
    .with_config(LimitConfig)
    .with_entities(Subscriber)
    .include_router(
        CrudRouter.create("/api/v1/subscribers", ["Subscribers"], SubscriberIn, SubscriberOut, get_subscribers)
    )
    .include_router(rooms)
    .build()
)

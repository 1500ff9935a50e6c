"""Base classes of the tables."""

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chapkit.core.clock import utc_now
from chapkit.core.columns import JsonType, ULIDType, UtcDateTime
from chapkit.core.ids import ULID

_TICK = timedelta(microseconds=1)


class Base(AsyncAttrs, DeclarativeBase):
    """Root of every mapped class."""


class Entity(Base):
    """A row with a ULID, two times and tags."""

    __abstract__ = True

    id: Mapped[ULID] = mapped_column(ULIDType, primary_key=True, default=ULID, sort_order=-10)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, sort_order=-9)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, sort_order=-8)
    tags: Mapped[list[str]] = mapped_column(JsonType, default=list, server_default="[]", sort_order=-7)


@event.listens_for(Entity, "before_insert", propagate=True)
def _set_times(mapper: Any, connection: Any, target: Any) -> None:
    entity = cast("Entity", target)
    if entity.created_at is None:  # pyright: ignore[reportUnnecessaryComparison]  # unset before the first flush
        entity.created_at = utc_now()
    if entity.updated_at is None:  # pyright: ignore[reportUnnecessaryComparison]
        entity.updated_at = entity.created_at


@event.listens_for(Entity, "before_update", propagate=True)
def _move_updated_at(mapper: Any, connection: Any, target: Any) -> None:
    entity = cast("Entity", target)
    # Always later than before: conditional requests compare this moment.
    entity.updated_at = max(utc_now(), entity.updated_at + _TICK)

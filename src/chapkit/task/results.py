"""Kept results: found by key, dropped by tag, function, key or age."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Table, Text, bindparam, delete, func, or_, select, true, type_coerce
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.ids import ULID
from chapkit.core.quick import Prepared
from chapkit.core.transactions import begin_write
from chapkit.job.rows import as_datetime
from chapkit.task.cache import Cache
from chapkit.task.models import TaskResult

RESULTS = cast("Table", TaskResult.__table__)
KEPT_STALE = timedelta(days=1)
"""How long an expired result is remembered, so that calls which it would have served are counted as stale."""
_FIND = Prepared(
    select(
        type_coerce(RESULTS.c.artifact_id, Text).label("artifact_id"),
        type_coerce(RESULTS.c.expires_at, Text).label("expires_at"),
    ).where(RESULTS.c.key == bindparam("key", type_=Text))
)


@dataclass(frozen=True)
class Found:
    """A kept result."""

    artifact_id: ULID
    is_stale: bool
    """Whether it has expired."""


@dataclass(frozen=True)
class Kept:
    """Which call a result is kept for."""

    key: str
    function: str
    cache: Cache


class TaskResults:
    """The table of kept results, in the unit of work of a session."""

    def __init__(self, session: AsyncSession, now: Callable[[], datetime]) -> None:
        self.session = session
        self._now = now

    async def find(self, key: str) -> Found | None:
        """Return the result of an equal call, expired or not."""
        rows = await _FIND.fetch(self.session, key=key)
        if not rows:
            return None
        artifact_id, expires_at = rows[0]
        moment = as_datetime(expires_at)
        return Found(ULID.trusted(artifact_id), moment is not None and moment <= self._now())

    async def keep(self, kept: Kept, artifact_id: ULID) -> None:
        """Let equal calls get this artifact from now on."""
        now, seconds = self._now(), kept.cache.seconds
        values = {
            "function": kept.function,
            "artifact_id": artifact_id,
            "created_at": now,
            "expires_at": None if seconds is None else now + timedelta(seconds=seconds),
            "tags": list(kept.cache.tags),
        }
        dialect: Any = postgresql if self.session.get_bind().dialect.name == "postgresql" else sqlite
        statement = dialect.insert(RESULTS).values(key=kept.key, **values)
        await self.session.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))

    async def drop(self, *criteria: ColumnElement[bool]) -> int:
        """Forget the results that meet all criteria, and return how many; their artifacts stay."""
        await begin_write(self.session)
        outcome: Any = await self.session.execute(delete(RESULTS).where(*criteria))
        return int(outcome.rowcount)

    async def purge(self) -> int:
        """Forget results that have expired long ago."""
        return await self.drop(RESULTS.c.expires_at <= self._now() - KEPT_STALE)

    async def count(self) -> dict[str, int]:
        """Return how many results of each function count now."""
        counts = select(RESULTS.c.function, func.count()).where(self._counts_now()).group_by(RESULTS.c.function)
        rows = (await self.session.execute(counts)).all()
        return {str(function): int(number) for function, number in rows}

    async def oldest(self) -> datetime | None:
        """Return when the oldest result was made that still counts."""
        found: datetime | None = await self.session.scalar(
            select(func.min(RESULTS.c.created_at)).where(self._counts_now())
        )
        return found

    def _counts_now(self) -> ColumnElement[bool]:
        return or_(RESULTS.c.expires_at.is_(None), RESULTS.c.expires_at > self._now())


def tagged(tag: str) -> ColumnElement[bool]:
    """Select the results with this tag."""
    text = type_coerce(RESULTS.c.tags, Text)
    # Not LIKE, for which SQLite takes upper and lower case for the same.
    return func.replace(text, to_json(tag).decode(), "") != text


def of_function(function: str) -> ColumnElement[bool]:
    """Select the results of a function."""
    return RESULTS.c.function == function


def with_key(key: str) -> ColumnElement[bool]:
    """Select the result of one call."""
    return RESULTS.c.key == key


def everything() -> ColumnElement[bool]:
    """Select every result."""
    return true()

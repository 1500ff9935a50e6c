"""Schedules that stand in the code of a service, and the rows that are made of them at its start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.clock import Clock
from chapkit.core.lock_waits import WAIT_FOR_EVER
from chapkit.core.logging import get_logger
from chapkit.core.services import Scope, Services
from chapkit.job.runtime import JobRuntime
from chapkit.job.targets import JobTargets
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.schemas import ScheduleIn
from chapkit.scheduler.trigger_schemas import read_trigger
from chapkit.scheduler.views import anchored, stored_values

CODE = "code"
_LOCK_NUMBER = 0x636861706B6973
# Whether it runs is the choice of a person, once it is there.
_FIELDS = frozenset(ScheduleIn.model_fields) - {"id", "enabled"}


@dataclass(frozen=True)
class DeclaredSchedule:
    """A schedule of the code; its name says which row it is."""

    data: ScheduleIn

    @property
    def key(self) -> str:
        """What it is found by, however it was changed."""
        return self.data.name

    def differences(self, row: Schedule, clock: Clock) -> set[str]:
        """Return the fields in which a row is not as the code says."""
        wanted = stored_values(self.data, set(_FIELDS))
        start = self.data.start_at or clock.now()
        wanted["trigger"] = anchored(self.data.trigger, start, read_trigger(row.trigger))
        return {name for name, value in wanted.items() if value != getattr(row, name)}


class Reconciliation:
    """Makes the rows what the code says: new ones, changed ones, and those that are gone from it."""

    def __init__(self, services: Services, declared: Sequence[DeclaredSchedule]) -> None:
        self._services = services
        self._declared: Mapping[str, DeclaredSchedule] = {item.key: item for item in declared}

    async def run(self) -> None:
        """Change what is not as it should be; several processes may do so at once.

        Raises:
            UnprocessableError: No feature brings the target of one of them (`job-target-unknown`).
        """
        for item in self._declared.values():
            self._services.get(JobTargets).get(item.data.target)
        async with self._services.scope.read() as scope:
            rows = await ScheduleRepository(scope.session).list_managed()
        if self._is_done(rows):
            return
        async with self._services.scope.write() as scope:
            await _alone(scope.session)
            await self._change(scope)

    def _is_done(self, rows: Sequence[Schedule]) -> bool:
        known = {row.code_key: row for row in rows}
        return known.keys() == self._declared.keys() and not any(
            item.differences(known[key], self._clock) for key, item in self._declared.items()
        )

    async def _change(self, scope: Scope) -> None:
        manager = ScheduleManager(scope)
        manager.acts_for_code = True
        known = {row.code_key or "": row for row in await manager.repository.list_managed()}
        changes: dict[str, list[str]] = {"created": [], "changed": [], "deleted": []}
        for key, row in known.items():
            if key not in self._declared:
                await manager.delete_entity(row)
                changes["deleted"].append(key)
        for key, item in self._declared.items():
            if key not in known:
                await _create(manager, item)
                changes["created"].append(key)
            elif fields := item.differences(known[key], self._clock):
                await manager.replace_entity(known[key].id, item.data, fields)
                changes["changed"].append(key)
        told: dict[str, Any] = {name: keys for name, keys in changes.items() if keys}
        get_logger("chapkit.scheduler").info("schedule.reconciled", **told)

    @property
    def _clock(self) -> Clock:
        return self._services.get(JobRuntime).clock


async def _create(manager: ScheduleManager, item: DeclaredSchedule) -> None:
    row = await manager.create_entity(item.data)
    row.managed_by, row.code_key = CODE, item.key
    await manager.repository.update(row)


async def _alone(session: AsyncSession) -> None:
    """Let other processes that start now wait; on SQLite a writer is alone anyway."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(WAIT_FOR_EVER)
        await session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})

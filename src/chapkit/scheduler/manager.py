"""Schedules in terms of schemas."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from chapkit.core.clock import Clock
from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.manager import BaseManager
from chapkit.core.query import Query
from chapkit.core.rendering import moment_etag
from chapkit.core.services import Scope
from chapkit.job.runtime import JobRuntime
from chapkit.job.service import JobService
from chapkit.job.targets import JobTargets
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.plan import next_or_due, next_tick, trigger_of
from chapkit.scheduler.refusals import ManagedByCodeError, NoTickToComeError
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.schemas import ScheduleIn, ScheduleOut, ScheduleRun
from chapkit.scheduler.subjects import ScheduleSubjects
from chapkit.scheduler.trigger_schemas import read_trigger
from chapkit.scheduler.views import JobRow, anchored, other_members, stored_values, to_output
from chapkit.scheduler.words import explain
from chapkit.scheduler.worker import ScheduleWorker
from chapkit.task.bodies import refuse_told

_BY_A_PERSON = "Paused by a request"
_TIMING = frozenset({"trigger", "start_at", "end_at"})
_SUBJECT = frozenset({"target", "arguments"})
_ANEW = frozenset({"trigger", "enabled"})
"""After these, what was due before never runs."""
_FREE = frozenset({"enabled"})
"""What a person may change of a schedule that the code declares."""


class ScheduleManager(BaseManager[Schedule, ScheduleIn, ScheduleOut]):
    """Manages schedules in one unit of work."""

    repository: ScheduleRepository

    def __init__(self, scope: Scope) -> None:
        super().__init__(ScheduleRepository(scope.session), Schedule, ScheduleOut)
        self.scope = scope
        self.acts_for_code = False
        """Whether what is declared in code may be changed: that code itself does it."""

    @property
    def clock(self) -> Clock:
        """The clock by which schedules run."""
        return self.scope.services.get(JobRuntime).clock

    async def pause(self, id: ULID, reason: str | None = None) -> Schedule:
        """Let nothing run until somebody resumes it; the reason is shown."""
        async with self.unit_of_work():
            schedule = await self.patch_entity(id, {"enabled": False}, ScheduleIn)
            if reason is not None:
                schedule.paused_reason = reason
                await self.repository.update(schedule)
            return schedule

    async def resume(self, id: ULID) -> Schedule:
        """Let it run from its next tick on; what was due while it was paused never runs."""
        return await self.patch_entity(id, {"enabled": True}, ScheduleIn)

    async def hold(self, schedule: Schedule, reason: str | None) -> None:
        """Let nothing run as long as there is a reason; without one, go on with the next tick."""
        schedule.held_reason = reason
        schedule.next_run_at = next_tick(schedule, self.clock.now())
        await self.repository.update(schedule)
        self._wake()

    async def tie(self, schedule: Schedule) -> None:
        """Let it be about the task that it names, if that is there by now."""
        subjects = self.scope.services.get(ScheduleSubjects)
        subject = await subjects.find(self.scope, schedule.target, schedule.arguments)
        if subject.task_id is not None:
            schedule.task_id, schedule.held_reason = subject.task_id, subject.held_reason
            schedule.next_run_at = next_or_due(schedule, schedule.next_run_at, self.clock.now())
            await self.repository.update(schedule)
            self._wake()

    async def list_runs(self, id: ULID, limit: int, offset: int = 0) -> list[ScheduleRun]:
        """Return its ticks and what became of their jobs, the newest first.

        Raises:
            ScheduleNotFoundError: There is no such schedule (`schedule-not-found`).
        """
        rows = await self.repository.list_runs(id, limit, offset)
        if not rows:
            await self.get_entity(id)
        return [ScheduleRun.model_validate(dict(row)) for row in rows]

    async def get_entity(self, id: ULID) -> Schedule:
        """Return the row.

        Raises:
            ScheduleNotFoundError: There is no such schedule (`schedule-not-found`).
        """
        return await self.repository.require(id)

    async def get_entity_for_update(self, id: ULID) -> Schedule:
        """Return the row as it is now, locked until the transaction ends.

        Raises:
            ScheduleNotFoundError: There is no such schedule (`schedule-not-found`).
        """
        return await self.repository.require(id, lock=True)

    async def patch_entity(self, id: ULID, changes: Mapping[str, Any], schema: type[ScheduleIn]) -> Schedule:
        """Merge `changes` into the schedule's document; a trigger of another kind takes the place of the old one."""
        refuse_told(schema, changes)
        given = changes.get("trigger")
        if isinstance(given, Mapping):
            trigger = cast("Mapping[str, Any]", given)
            changes = {**changes, "trigger": {**other_members(trigger), **trigger}}
        return await super().patch_entity(id, changes, schema)

    async def pre_save(self, entity: Schedule, data: ScheduleIn) -> None:
        """Check what it submits, and reckon when it does so first."""
        entity.trigger = anchored(data.trigger, entity.start_at or self.clock.now())
        if not entity.enabled:
            entity.paused_reason = _BY_A_PERSON
        await self._look_at_subject(entity)
        self._require_queue(entity)
        self._require_tick(entity)
        entity.next_run_at = next_tick(entity, self.clock.now())

    async def post_save(self, entity: Schedule) -> None:
        """Tell the worker."""
        self._wake()

    async def pre_update(self, entity: Schedule, data: ScheduleIn, old_values: dict[str, Any]) -> None:
        """Check what was changed, and reckon anew when it runs next."""
        if "trigger" in old_values:
            before = read_trigger(old_values["trigger"])
            entity.trigger = anchored(data.trigger, entity.start_at or self.clock.now(), before)
        changed = {name for name, old in old_values.items() if old != getattr(entity, name)}
        if changed - _FREE:
            self._require_free(entity)
        if "enabled" in changed:
            entity.paused_reason = None if entity.enabled else _BY_A_PERSON
            entity.failures = 0
        if changed & _SUBJECT:
            await self._look_at_subject(entity)
        if "job" in changed:
            self._require_queue(entity)
        if changed & _TIMING:
            self._require_tick(entity)
        if changed & _ANEW:
            entity.next_run_at = next_tick(entity, self.clock.now())
        elif changed & (_TIMING | _SUBJECT):
            entity.next_run_at = next_or_due(entity, entity.next_run_at, self.clock.now())

    async def post_update(self, entity: Schedule, changes: dict[str, tuple[Any, Any]]) -> None:
        """Tell the worker."""
        self._wake()

    async def pre_delete(self, entity: Schedule) -> None:
        """Refuse it where the code would bring it back."""
        self._require_free(entity)

    async def render_one(self, entity: Schedule) -> bytes:
        """Return the JSON of a schedule and of its last job, as it is now."""
        return (await self._render_all([entity]))[0]

    async def render_by_id(self, id: ULID) -> tuple[bytes, str] | None:
        """Return the JSON of a schedule and the tag of its state, or `None`."""
        entity = await self.repository.find_by_id(id)
        if entity is None:
            return None
        content = await self.render_one(entity)
        # Ticks change what is shown, but not what somebody would change: a change only looks at the first part.
        return content, f'{self.etag(entity)[:-1]}.{hashlib.blake2b(content, digest_size=8).hexdigest()}"'

    async def render_list(self, query: Query) -> list[tuple[str, bytes]]:
        """Return the id and the JSON of each schedule that `query` asks for."""
        entities = await self.repository.list(query)
        return list(zip([entity.id for entity in entities], await self._render_all(entities), strict=True))

    def etag(self, entity: Schedule) -> str:
        """Return the tag of what somebody has last made of the schedule."""
        return moment_etag(entity.updated_at)

    async def to_outputs(self, entities: Sequence[Schedule]) -> list[ScheduleOut]:
        """Return schedules as they stand on the wire, each with its last job as it is now."""
        jobs = await self.repository.find_jobs(entity.last_job_id for entity in entities if entity.last_job_id)
        return [self._to_output_schema(entity, jobs.get(entity.last_job_id or "")) for entity in entities]

    async def _render_all(self, entities: Sequence[Schedule]) -> list[bytes]:
        return [output.model_dump_json().encode() for output in await self.to_outputs(entities)]

    def _values(self, data: ScheduleIn, fields: set[str]) -> dict[str, Any]:
        return stored_values(data, fields)

    def _to_output_schema(self, entity: Schedule, job: JobRow | None = None) -> ScheduleOut:
        return to_output(entity, job)

    async def _look_at_subject(self, entity: Schedule) -> None:
        try:
            await self.scope.services.get(JobTargets).get(entity.target).check(self.scope, entity.arguments)
        except ChapkitError as error:
            if not self.acts_for_code:
                raise
            # What it needs may come later; until then its ticks say what is wrong.
            get_logger("chapkit.scheduler").warning("schedule.not_ready", schedule=entity.name, error=error.detail)
        subject = await self.scope.services.get(ScheduleSubjects).find(self.scope, entity.target, entity.arguments)
        entity.task_id, entity.held_reason = subject.task_id, subject.held_reason

    def _require_tick(self, entity: Schedule) -> None:
        now, trigger = self.clock.now(), trigger_of(entity)
        if not self.acts_for_code and trigger.next_after(now) is None:
            raise NoTickToComeError(explain(trigger), now)

    def _require_queue(self, entity: Schedule) -> None:
        queue = None if entity.job is None else entity.job.get("queue")
        if queue is not None:
            self.scope.services.get(JobService).require_queue(queue, "job.queue")

    def _require_free(self, entity: Schedule) -> None:
        if entity.managed_by is not None and not self.acts_for_code:
            raise ManagedByCodeError(entity.code_key or entity.name)

    def _wake(self) -> None:
        self.scope.after_commit(self.scope.services.get(ScheduleWorker).tell)

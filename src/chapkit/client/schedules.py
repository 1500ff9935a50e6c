"""Schedules, seen from a client."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack

from chapkit.client.resource import PAGE_SIZE, AsyncResource, Resource
from chapkit.client.schedule_calls import Rules, Runs, ScheduleCalls, When, schedule_body
from chapkit.client.transport import AsyncHttpTransport, HttpTransport
from chapkit.core.ids import ULID
from chapkit.core.schemas import PaginatedResponse
from chapkit.scheduler.schemas import BackfillResult, ScheduleOut, SchedulePreview, ScheduleRun

_TASK = "task"
_RUNS = 100
_TICKS = 5


class Schedules(Resource[ScheduleOut]):
    """The schedules of a service."""

    def __init__(self, transport: HttpTransport, calls: ScheduleCalls | None = None) -> None:
        self._schedule_calls = calls or ScheduleCalls()
        super().__init__(transport, self._schedule_calls)

    def create(
        self,
        name: str,
        trigger: When,
        *,
        target: str = _TASK,
        arguments: Mapping[str, Any] | None = None,
        id: str | None = None,
        tags: Sequence[str] = (),
        **rules: Unpack[Rules],
    ) -> ScheduleOut:
        """Store a new schedule.

        Args:
            name: Any name; it need not be unique.
            trigger: `Cron("0 6 * * *", "Africa/Kigali")`, `Interval("15m")` or `Once(moment)`.
            target: What is submitted: a task, `ml.train`, `ml.predict`, `handler`.
            arguments: What the target is told; `{"task_id": ...}` or `{"function": ...}` of a task.
            id: Chosen by the service if left out.
            tags: Labels to find it by.
            rules: `missed`, `overlap`, `jitter` and the other members of a schedule.

        Raises:
            Invalid: It would never run, or the target does not understand the arguments.
        """
        body = schedule_body(name, trigger, target, arguments, id, tags, rules)
        return self.transport.send(self._schedule_calls.create(body))

    def replace(
        self,
        id: str,
        name: str,
        trigger: When,
        *,
        target: str = _TASK,
        arguments: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        etag: str | None = None,
        **rules: Unpack[Rules],
    ) -> ScheduleOut:
        """Store a schedule anew; rules that are left out stay as they are."""
        body = schedule_body(name, trigger, target, arguments, None, tags, rules)
        return self.transport.send(self._schedule_calls.replace(id, body, etag))

    def pause(self, id: str, reason: str | None = None) -> ScheduleOut:
        """Let nothing run until it is resumed; `reason` is shown as its `paused_reason`."""
        return self.transport.send(self._schedule_calls.switch(id, "pause", reason))

    def resume(self, id: str) -> ScheduleOut:
        """Let it go on with its next tick; what was due while it was paused never runs."""
        return self.transport.send(self._schedule_calls.switch(id, "resume"))

    def next(self, id: str, count: int = _TICKS) -> SchedulePreview:
        """Return the next ticks, and the trigger in words."""
        return self.transport.send(self._schedule_calls.next(id, count))

    def runs(self, id: str, limit: int = _RUNS) -> Runs:
        """Return the last ticks and what became of their jobs, the newest first."""
        return self.transport.send(self._schedule_calls.runs(id, limit))

    def runs_page(self, id: str, page: int = 1, size: int = PAGE_SIZE) -> PaginatedResponse[ScheduleRun]:
        """Return one page of its ticks, the newest first, counted from 1, with the total."""
        return self.transport.send(self._schedule_calls.runs_page(id, page, size))

    def run_now(self, id: str, *, key: str | None = None) -> ULID:
        """Submit its job beside its ticks, also if it is paused, and return the job's identifier.

        Sent again with the same key, it returns the first job.
        """
        return (self.transport.send(self._schedule_calls.run_now(id, key))).job_id

    def backfill(
        self, id: str, start: datetime, end: datetime, limit: int | None = None, *, key: str | None = None
    ) -> BackfillResult:
        """Submit the jobs of past ticks that have none; if `continue_from` is set, there are more.

        Asked again with the same `key`, it names the same jobs as created.
        """
        return self.transport.send(self._schedule_calls.backfill(id, start, end, limit, key))

    def preview(
        self,
        trigger: When,
        *,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        count: int = _TICKS,
    ) -> SchedulePreview:
        """Return a trigger in words, and its next ticks; nothing is stored."""
        return self.transport.send(self._schedule_calls.preview(trigger, start_at, end_at, count))


class AsyncSchedules(AsyncResource[ScheduleOut]):
    """The schedules of a service, to be awaited."""

    def __init__(self, transport: AsyncHttpTransport, calls: ScheduleCalls | None = None) -> None:
        self._schedule_calls = calls or ScheduleCalls()
        super().__init__(transport, self._schedule_calls)

    async def create(
        self,
        name: str,
        trigger: When,
        *,
        target: str = _TASK,
        arguments: Mapping[str, Any] | None = None,
        id: str | None = None,
        tags: Sequence[str] = (),
        **rules: Unpack[Rules],
    ) -> ScheduleOut:
        """Store a new schedule.

        Args:
            name: Any name; it need not be unique.
            trigger: `Cron("0 6 * * *", "Africa/Kigali")`, `Interval("15m")` or `Once(moment)`.
            target: What is submitted: a task, `ml.train`, `ml.predict`, `handler`.
            arguments: What the target is told; `{"task_id": ...}` or `{"function": ...}` of a task.
            id: Chosen by the service if left out.
            tags: Labels to find it by.
            rules: `missed`, `overlap`, `jitter` and the other members of a schedule.

        Raises:
            Invalid: It would never run, or the target does not understand the arguments.
        """
        body = schedule_body(name, trigger, target, arguments, id, tags, rules)
        return await self.transport.send(self._schedule_calls.create(body))

    async def replace(
        self,
        id: str,
        name: str,
        trigger: When,
        *,
        target: str = _TASK,
        arguments: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        etag: str | None = None,
        **rules: Unpack[Rules],
    ) -> ScheduleOut:
        """Store a schedule anew; rules that are left out stay as they are."""
        body = schedule_body(name, trigger, target, arguments, None, tags, rules)
        return await self.transport.send(self._schedule_calls.replace(id, body, etag))

    async def pause(self, id: str, reason: str | None = None) -> ScheduleOut:
        """Let nothing run until it is resumed; `reason` is shown as its `paused_reason`."""
        return await self.transport.send(self._schedule_calls.switch(id, "pause", reason))

    async def resume(self, id: str) -> ScheduleOut:
        """Let it go on with its next tick; what was due while it was paused never runs."""
        return await self.transport.send(self._schedule_calls.switch(id, "resume"))

    async def next(self, id: str, count: int = _TICKS) -> SchedulePreview:
        """Return the next ticks, and the trigger in words."""
        return await self.transport.send(self._schedule_calls.next(id, count))

    async def runs(self, id: str, limit: int = _RUNS) -> Runs:
        """Return the last ticks and what became of their jobs, the newest first."""
        return await self.transport.send(self._schedule_calls.runs(id, limit))

    async def runs_page(self, id: str, page: int = 1, size: int = PAGE_SIZE) -> PaginatedResponse[ScheduleRun]:
        """Return one page of its ticks, the newest first, counted from 1, with the total."""
        return await self.transport.send(self._schedule_calls.runs_page(id, page, size))

    async def run_now(self, id: str, *, key: str | None = None) -> ULID:
        """Submit its job beside its ticks, also if it is paused, and return the job's identifier.

        Sent again with the same key, it returns the first job.
        """
        return (await self.transport.send(self._schedule_calls.run_now(id, key))).job_id

    async def backfill(
        self, id: str, start: datetime, end: datetime, limit: int | None = None, *, key: str | None = None
    ) -> BackfillResult:
        """Submit the jobs of past ticks that have none; if `continue_from` is set, there are more.

        Asked again with the same `key`, it names the same jobs as created.
        """
        return await self.transport.send(self._schedule_calls.backfill(id, start, end, limit, key))

    async def preview(
        self,
        trigger: When,
        *,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        count: int = _TICKS,
    ) -> SchedulePreview:
        """Return a trigger in words, and its next ticks; nothing is stored."""
        return await self.transport.send(self._schedule_calls.preview(trigger, start_at, end_at, count))

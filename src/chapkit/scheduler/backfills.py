"""Making up for the past of a schedule: the jobs of ticks that have none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select

from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.job.granted import KeyedRequest
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobSpec
from chapkit.scheduler.models import Schedule, ScheduleBackfill
from chapkit.scheduler.moments import RESOLUTION, instant
from chapkit.scheduler.plan import MOST_RUNS, trigger_of
from chapkit.scheduler.refusals import BackfillRangeError
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.schemas import BackfillIn, BackfillResult, TickRecord, TickSource
from chapkit.scheduler.submission import Prepared, TickJobs
from chapkit.scheduler.triggers import Trigger

_LABEL = "backfill"
"""Label of a job that says under which key it was asked for."""


class Backfills:
    """Submits the jobs of past ticks; each of its transactions is short."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._jobs = TickJobs(services)

    async def submit(self, id: ULID, wanted: BackfillIn, key: str | None = None) -> BackfillResult:
        """Submit the jobs of past ticks that have none; asked again, it goes on where it was interrupted.

        With the same key it is about the same ticks, whatever the schedule has become, and names the same jobs as
        created; what had failed is tried again.

        Raises:
            ConflictError: The key was used for another range (`idempotency-key-reused`).
            ScheduleNotFoundError: There is no such schedule (`schedule-not-found`).
            BackfillRangeError: The range does not lie in the past (`backfill-range-invalid`).
        """
        start, end, now = instant(wanted.start, "start"), instant(wanted.end, "end"), self._now()
        if start >= end or end > now + RESOLUTION:
            raise BackfillRangeError(start, end, now)
        asked_for = [start.isoformat(), end.isoformat(), wanted.limit]
        request = None if key is None else KeyedRequest(key, asked_for)
        trigger = await self._trigger(id, request)
        ticks = list(trigger.between(start, end, wanted.limit + 1))
        result = BackfillResult(created=[], skipped=[], failed=[])
        if len(ticks) > wanted.limit:
            result.continue_from = ticks.pop()
        for first in range(0, len(ticks), MOST_RUNS):
            await self._make_up(id, ticks[first : first + MOST_RUNS], result, request)
        return result

    async def _trigger(self, id: ULID, request: KeyedRequest | None) -> Trigger:
        """Return when the schedule is due, or was when somebody first asked under this key."""
        async with self._services.scope.read() as scope:
            schedule = await ScheduleRepository(scope.session).require(id)
            granted = None if request is None else await _find_granted(scope, id, request)
        if request is None:
            return trigger_of(schedule)
        if granted is None:
            async with self._services.scope.write() as scope:
                schedule = await ScheduleRepository(scope.session).require(id, lock=True)
                # Asked once more, as an equal request may have come at the same time.
                granted = await _find_granted(scope, id, request)
                if granted is None:
                    granted = _granted(schedule, request, self._now())
                    scope.session.add(granted)
        return trigger_of(granted)

    async def _make_up(
        self, id: ULID, ticks: Sequence[datetime], result: BackfillResult, request: KeyedRequest | None
    ) -> None:
        async with self._services.scope.read() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await repository.require(id)
            open_ticks = await _without_job(repository, id, ticks)
            jobs = {tick: await self._prepare(scope, schedule, tick, request) for tick in open_ticks}
        new: set[str] = set()
        async with self._services.scope.write() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await repository.require(id, lock=True)
            for tick in await _without_job(repository, id, open_ticks):
                verdict = await self._jobs.try_submit(scope, schedule, jobs[tick])
                await repository.put_tick(verdict.row(id, tick, TickSource.BACKFILL, self._now()))
                prepared = jobs[tick]
                if isinstance(prepared, JobSpec) and verdict.job_id == prepared.id:
                    new.add(prepared.id or "")
            rows = await repository.known_ticks(id, ticks)
            if request is not None:
                job_ids = [row["job_id"] for row in rows.values() if row["job_id"] is not None]
                new |= await repository.list_marked(job_ids, _LABEL, request.digest)
            if open_ticks:
                await repository.count_ticks(schedule, len(open_ticks))
        _sort_in(result, rows, new)

    async def _prepare(
        self, scope: Scope, schedule: Schedule, tick: datetime, request: KeyedRequest | None
    ) -> Prepared:
        prepared = await self._jobs.try_prepare(scope, schedule, tick, TickSource.BACKFILL)
        if request is None or not isinstance(prepared, JobSpec):
            return prepared
        return replace(prepared, labels={**prepared.labels, _LABEL: request.digest})

    def _now(self) -> datetime:
        return self._services.get(JobRuntime).clock.now()


async def _find_granted(scope: Scope, id: ULID, request: KeyedRequest) -> ScheduleBackfill | None:
    wanted = (ScheduleBackfill.schedule_id == id, ScheduleBackfill.key == request.digest)
    found = await scope.session.scalar(select(ScheduleBackfill).where(*wanted))
    return found if found is not None and request.is_among([(found.key, found.fingerprint)]) else None


def _granted(schedule: Schedule, request: KeyedRequest, now: datetime) -> ScheduleBackfill:
    return ScheduleBackfill(
        schedule_id=schedule.id,
        key=request.digest,
        fingerprint=request.fingerprint,
        trigger=schedule.trigger,
        start_at=schedule.start_at,
        end_at=schedule.end_at,
        created_at=now,
    )


async def _without_job(repository: ScheduleRepository, id: ULID, ticks: Sequence[datetime]) -> list[datetime]:
    known = await repository.known_ticks(id, ticks)
    return [tick for tick in ticks if tick not in known or known[tick]["job_id"] is None]


def _sort_in(result: BackfillResult, rows: Mapping[datetime, Mapping[object, object]], new: set[str]) -> None:
    for tick in sorted(rows):
        record = TickRecord.model_validate(dict(rows[tick]))
        if record.job_id is None:
            result.failed.append(record)
        elif record.job_id in new:
            result.created.append(record)
        else:
            result.skipped.append(record)

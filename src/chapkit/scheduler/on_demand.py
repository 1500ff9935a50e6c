"""What somebody asks of a schedule, beside its ticks: to run now, and to make up for the past."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.runtime import JobRuntime
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.moments import RESOLUTION, instant
from chapkit.scheduler.plan import MOST_RUNS, trigger_of
from chapkit.scheduler.refusals import BackfillRangeError, ScheduleNotFoundError
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.schemas import BackfillIn, BackfillResult, TickOutcome, TickRecord, TickSource
from chapkit.scheduler.standing import Standing
from chapkit.scheduler.submission import Prepared, TickJobs, Verdict


class OnDemand:
    """Runs schedules when somebody says so; each of its transactions is short."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._jobs = TickJobs(services)

    async def run_now(self, id: ULID, key: str | None = None) -> ULID:
        """Submit the job of a schedule beside its ticks, also of one that is paused; the same key is the same job.

        Raises:
            ScheduleNotFoundError: There is no such schedule (`schedule-not-found`).
            ChapkitError: Its target cannot do it now.
        """
        now = self._now()
        async with self._services.scope.read() as scope:
            schedule = await _get(ScheduleRepository(scope.session), id)
            spec = await self._jobs.prepare(scope, schedule, now, TickSource.MANUAL, key)
        async with self._services.scope.write() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await _get(repository, id, lock=True)
            job = await self._jobs.submit(scope, spec)
            standing = await Standing.of(schedule, repository)
            if job.id not in standing.active and not job.status.is_final:
                standing.active.append(job.id)
            if job.submitted_at is None or job.submitted_at >= now:
                moment = await _free_moment(repository, id, now)
                verdict = Verdict(TickOutcome.SUBMITTED, job_id=job.id)
                await repository.add_ticks([verdict.row(id, moment, TickSource.MANUAL, now)])
            await _note(repository, schedule, standing)
        return job.id

    async def backfill(self, id: ULID, wanted: BackfillIn) -> BackfillResult:
        """Submit the jobs of past ticks that have none; asked again, it goes on where it was interrupted.

        Raises:
            ScheduleNotFoundError: There is no such schedule (`schedule-not-found`).
            BackfillRangeError: The range does not lie in the past (`backfill-range-invalid`).
        """
        start, end, now = instant(wanted.start, "start"), instant(wanted.end, "end"), self._now()
        if start >= end or end > now + RESOLUTION:
            raise BackfillRangeError(start, end, now)
        async with self._services.scope.read() as scope:
            trigger = trigger_of(await _get(ScheduleRepository(scope.session), id))
        ticks = list(trigger.between(start, end, wanted.limit + 1))
        result = BackfillResult(created=[], skipped=[], failed=[])
        if len(ticks) > wanted.limit:
            result.continue_from = ticks.pop()
        for first in range(0, len(ticks), MOST_RUNS):
            await self._make_up(id, ticks[first : first + MOST_RUNS], result)
        return result

    async def _make_up(self, id: ULID, ticks: Sequence[datetime], result: BackfillResult) -> None:
        jobs: dict[datetime, Prepared] = {}
        async with self._services.scope.read() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await _get(repository, id)
            known = await repository.known_ticks(id, ticks)
            for tick in ticks:
                if tick not in known or known[tick]["job_id"] is None:
                    jobs[tick] = await self._jobs.try_prepare(scope, schedule, tick, TickSource.BACKFILL)
        records: list[tuple[list[TickRecord], TickRecord]] = []
        async with self._services.scope.write() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await _get(repository, id, lock=True)
            known = await repository.known_ticks(id, ticks)
            standing = await Standing.of(schedule, repository)
            for tick in ticks:
                row = known.get(tick)
                if tick not in jobs or (row is not None and row["job_id"] is not None):
                    records.append((result.skipped, TickRecord.model_validate(dict(known[tick]))))
                    continue
                verdict = await self._jobs.try_submit(scope, schedule, jobs[tick])
                await repository.put_tick(verdict.row(id, tick, TickSource.BACKFILL, self._now()))
                if verdict.job_id is not None:
                    standing.active.append(verdict.job_id)
                record = TickRecord(
                    scheduled_for=tick, outcome=verdict.outcome, reason=verdict.reason, job_id=verdict.job_id
                )
                records.append((result.failed if verdict.job_id is None else result.created, record))
            await _note(repository, schedule, standing)
        for where, record in records:
            where.append(record)

    def _now(self) -> datetime:
        return self._services.get(JobRuntime).clock.now()


async def _get(repository: ScheduleRepository, id: ULID, *, lock: bool = False) -> Schedule:
    found = await (repository.find_for_update(id) if lock else repository.find_by_id(id))
    if found is None:
        raise ScheduleNotFoundError(id)
    return found


async def _free_moment(repository: ScheduleRepository, id: ULID, moment: datetime) -> datetime:
    """Return a moment that no tick has."""
    while await repository.known_ticks(id, [moment]):
        moment += RESOLUTION
    return moment


async def _note(repository: ScheduleRepository, schedule: Schedule, standing: Standing) -> None:
    await repository.write(schedule.id, {"active": standing.active, "failures": standing.failures})

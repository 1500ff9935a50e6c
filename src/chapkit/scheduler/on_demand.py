"""What somebody asks of a schedule, beside its ticks: to run now, and to make up for the past."""

from collections.abc import Sequence
from datetime import datetime

from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.granted import KeyedRequest
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobSpec
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
            ConflictError: The key was used for something else (`idempotency-key-reused`).
            ScheduleNotFoundError: There is no such schedule (`schedule-not-found`).
            ChapkitError: Its target cannot do it now.
        """
        now = self._now()
        try:
            async with self._services.scope.read() as scope:
                schedule = await _get(ScheduleRepository(scope.session), id)
                spec = await self._jobs.prepare(scope, schedule, now, TickSource.MANUAL, key)
        except ChapkitError:
            # What an equal request was accepted with may be gone by now.
            first = None if key is None else await self._jobs.find_first(id, key)
            if first is None:
                raise
            return first.id
        async with self._services.scope.write() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await _get(repository, id, lock=True)
            job = await self._jobs.submit(scope, spec)
            if job.id == spec.id:
                standing = await Standing.look(repository, schedule.active, schedule.failures, writes=True)
                standing.active.append(job.id)
                verdict = Verdict(TickOutcome.SUBMITTED, job_id=job.id)
                moment = await _free_moment(repository, id, now)
                await repository.add_ticks([verdict.row(id, moment, TickSource.MANUAL, now)])
                await _note(repository, schedule, standing)
        return job.id

    async def backfill(self, id: ULID, wanted: BackfillIn, key: str | None = None) -> BackfillResult:
        """Submit the jobs of past ticks that have none; asked again, it goes on where it was interrupted.

        With the same key it answers as it did the first time, where nothing has changed since.

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
        async with self._services.scope.read() as scope:
            schedule = await _get(ScheduleRepository(scope.session), id)
        if request is not None and not request.is_among(schedule.backfills):
            await self._grant(id, request)
        trigger = trigger_of(schedule)
        ticks = list(trigger.between(start, end, wanted.limit + 1))
        result = BackfillResult(created=[], skipped=[], failed=[])
        if len(ticks) > wanted.limit:
            result.continue_from = ticks.pop()
        for first in range(0, len(ticks), MOST_RUNS):
            await self._make_up(
                id, ticks[first : first + MOST_RUNS], result, None if request is None else request.digest
            )
        return result

    async def _grant(self, id: ULID, request: KeyedRequest) -> None:
        async with self._services.scope.write() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await _get(repository, id, lock=True)
            # Asked once more, as an equal request may have come at the same time.
            if not request.is_among(schedule.backfills):
                await repository.write(id, {"backfills": request.added_to(schedule.backfills)})

    async def _make_up(self, id: ULID, ticks: Sequence[datetime], result: BackfillResult, request: str | None) -> None:
        async with self._services.scope.read() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await _get(repository, id)
            open_ticks = await _without_job(repository, id, ticks)
            source = TickSource.BACKFILL
            jobs = {tick: await self._jobs.try_prepare(scope, schedule, tick, source) for tick in open_ticks}
        part = BackfillResult(created=[], skipped=[], failed=[])
        async with self._services.scope.write() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await _get(repository, id, lock=True)
            standing = await Standing.look(repository, schedule.active, schedule.failures, writes=True)
            for tick in await _without_job(repository, id, open_ticks):
                verdict = await self._jobs.try_submit(scope, schedule, jobs[tick])
                await repository.put_tick(verdict.row(id, tick, source, self._now(), request))
                _sort_in(part, tick, verdict, jobs[tick])
            standing.active += [record.job_id for record in part.created if record.job_id is not None]
            await _note(repository, schedule, standing)
            seen = {record.scheduled_for for record in (*part.created, *part.skipped, *part.failed)}
            known = await repository.known_ticks(id, [tick for tick in ticks if tick not in seen])
        result.failed += part.failed
        for tick in sorted(known):
            is_own = request is not None and known[tick]["backfill"] == request
            (part.created if is_own else part.skipped).append(TickRecord.model_validate(dict(known[tick])))
        result.created += sorted(part.created, key=_moment)
        result.skipped += sorted(part.skipped, key=_moment)

    def _now(self) -> datetime:
        return self._services.get(JobRuntime).clock.now()


async def _get(repository: ScheduleRepository, id: ULID, *, lock: bool = False) -> Schedule:
    found = await (repository.find_for_update(id) if lock else repository.find_by_id(id))
    if found is None:
        raise ScheduleNotFoundError(id)
    return found


async def _without_job(repository: ScheduleRepository, id: ULID, ticks: Sequence[datetime]) -> list[datetime]:
    known = await repository.known_ticks(id, ticks)
    return [tick for tick in ticks if tick not in known or known[tick]["job_id"] is None]


def _moment(record: TickRecord) -> datetime:
    return record.scheduled_for


def _sort_in(part: BackfillResult, tick: datetime, verdict: Verdict, prepared: Prepared) -> None:
    record = TickRecord(scheduled_for=tick, outcome=verdict.outcome, reason=verdict.reason, job_id=verdict.job_id)
    if verdict.job_id is None:
        part.failed.append(record)
    elif isinstance(prepared, JobSpec) and verdict.job_id == prepared.id:
        part.created.append(record)
    else:
        # The tick is no longer kept, but its job is.
        part.skipped.append(record)


async def _free_moment(repository: ScheduleRepository, id: ULID, moment: datetime) -> datetime:
    """Return a moment that no tick has."""
    while await repository.known_ticks(id, [moment]):
        moment += RESOLUTION
    return moment


async def _note(repository: ScheduleRepository, schedule: Schedule, standing: Standing) -> None:
    await repository.write(schedule.id, {"active": standing.active, "failures": standing.failures})

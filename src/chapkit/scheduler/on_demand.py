"""What somebody asks of a schedule beside its ticks: to run now."""

from datetime import datetime

from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.runtime import JobRuntime
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.moments import RESOLUTION
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.schemas import TickOutcome, TickSource
from chapkit.scheduler.standing import Standing
from chapkit.scheduler.submission import TickJobs, Verdict


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
                schedule = await ScheduleRepository(scope.session).require(id)
                spec = await self._jobs.prepare(scope, schedule, now, TickSource.MANUAL, key)
        except ChapkitError:
            # What an equal request was accepted with may be gone by now.
            first = None if key is None else await self._jobs.find_first(id, key)
            if first is None:
                raise
            return first.id
        async with self._services.scope.write() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await repository.require(id, lock=True)
            job = await self._jobs.submit(scope, spec)
            if job.id == spec.id:
                standing = await Standing.look(repository, schedule.active, schedule.failures, writes=True)
                standing.active.append(job.id)
                verdict = Verdict(TickOutcome.SUBMITTED, job_id=job.id)
                moment = await _free_moment(repository, id, now)
                await repository.add_ticks([verdict.row(id, moment, TickSource.MANUAL, now)])
                await _note(repository, schedule, standing)
                await repository.count_ticks(schedule, 1)
        return job.id

    def _now(self) -> datetime:
        return self._services.get(JobRuntime).clock.now()


async def _free_moment(repository: ScheduleRepository, id: ULID, moment: datetime) -> datetime:
    """Return a moment that no tick has."""
    while await repository.known_ticks(id, [moment]):
        moment += RESOLUTION
    return moment


async def _note(repository: ScheduleRepository, schedule: Schedule, standing: Standing) -> None:
    await repository.write(schedule.id, {"active": standing.active, "failures": standing.failures})

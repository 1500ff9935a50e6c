"""What happens when a schedule is due: its ticks, their jobs and the next tick, in one transaction."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from chapkit.core.errors import ChapkitError, ConflictError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.plan import Plan, plan_ticks
from chapkit.scheduler.policies import Overlap
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.schemas import TickOutcome, TickSource
from chapkit.scheduler.standing import Standing
from chapkit.scheduler.submission import Prepared, TickJobs, Verdict

_MISSED = Verdict(TickOutcome.SKIPPED, "Missed: nobody was there in time")


@dataclass(frozen=True)
class _Intent:
    """A schedule as it was seen, and what was prepared for its ticks."""

    schedule: Schedule
    now: datetime
    plan: Plan
    jobs: Mapping[datetime, Prepared] = field(default_factory=dict[datetime, Prepared])
    broken: str | None = None
    """Why nobody can tell when it is due."""
    unfinished: Sequence[str] = ()
    """Jobs of its ticks that had not ended, those included that somebody let run again."""
    known: Container[datetime] = ()
    """Ticks that were seen to already, before the clock was put back."""


class _Outdated(Exception):
    """What was prepared does not fit any more."""


class Firing:
    """Sees to schedules that are due; any number of processes may do so at once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._jobs = TickJobs(services)

    async def fire(self, schedule_id: ULID, now: datetime) -> bool:
        """See to the ticks of a schedule that are due; False if they are not, or if somebody else does it.

        Raises:
            UnavailableError: The database does not answer, or the service stops; nothing has happened.
        """
        intent = await self._prepare(schedule_id, now)
        if intent is None:
            return False
        try:
            try:
                await self._commit(intent)
            except ConflictError:
                # One of the ticks is there already, which is so seldom that nobody asks before.
                await self._commit(replace(intent, known=await self._list_known(intent)))
        except _Outdated:
            return False
        reach("schedule.fire.after-commit")
        return True

    async def _prepare(self, schedule_id: ULID, now: datetime) -> _Intent | None:
        async with self._services.scope.read() as scope:
            repository = ScheduleRepository(scope.session)
            schedule = await repository.find_by_id(schedule_id)
            if schedule is None or schedule.next_run_at is None or schedule.next_run_at > now:
                return None
            try:
                plan = plan_ticks(schedule, schedule.next_run_at, now)
            except ChapkitError as error:
                return _Intent(schedule, now, Plan(), broken=error.detail)
            unfinished = await repository.list_unfinished(schedule.id)
            active = _in_sight(schedule.active, unfinished)
            standing = await Standing.look(repository, active, schedule.failures, writes=False)
            jobs: dict[datetime, Prepared] = {}
            if not standing.is_exhausted(schedule) and not _is_in_the_way(schedule, standing, plan):
                for tick in plan.runs:
                    jobs[tick] = await self._jobs.try_prepare(scope, schedule, tick, TickSource.TRIGGER)
        return _Intent(schedule, now, plan, jobs, unfinished=unfinished)

    async def _commit(self, intent: _Intent) -> None:
        # What a power cut takes away is done again: the tick and its job are lost together.
        async with self._services.scope.write(durable=False) as scope:
            await self._carry_out(scope, intent)
            reach("schedule.fire.before-commit")

    async def _list_known(self, intent: _Intent) -> Container[datetime]:
        async with self._services.scope.read() as scope:
            ticks = [*intent.plan.missed, *intent.plan.runs]
            return await ScheduleRepository(scope.session).known_ticks(intent.schedule.id, ticks)

    async def _carry_out(self, scope: Scope, intent: _Intent) -> None:
        repository = ScheduleRepository(scope.session)
        schedule, plan = intent.schedule, intent.plan
        locked = await repository.lock_due(schedule, intent.now)
        if locked is None:
            raise _Outdated
        if intent.broken is not None:
            await repository.move(schedule, {"enabled": False, "paused_reason": intent.broken, "next_run_at": None})
            return
        active = _in_sight(locked.active, intent.unfinished)
        standing = await Standing.look(repository, active, locked.failures, writes=True)
        verdicts = dict.fromkeys((tick for tick in plan.missed if tick not in intent.known), _MISSED)
        for tick in plan.runs:
            if tick not in intent.known:
                verdicts[tick] = await self._run(scope, intent, standing, tick)
        await repository.add_ticks(
            [verdict.row(schedule.id, tick, TickSource.TRIGGER, intent.now) for tick, verdict in verdicts.items()]
        )
        values = _moved(schedule, standing, plan)
        values["ticks"] = locked.ticks + len(verdicts)
        if verdicts:
            tick = max(verdicts)
            values |= _last(tick, verdicts[tick])
        await repository.move(schedule, values)
        await repository.prune_ticks(schedule.id, locked.ticks, values["ticks"])

    async def _run(self, scope: Scope, intent: _Intent, standing: Standing, tick: datetime) -> Verdict:
        schedule, prepared = intent.schedule, intent.jobs.get(tick)
        if standing.is_exhausted(schedule):
            return Verdict(TickOutcome.SKIPPED, f"Paused: {standing.reason_to_pause}")
        if _is_in_the_way(schedule, standing, intent.plan):
            return Verdict(TickOutcome.SKIPPED, f"The job {standing.active[-1]} of an earlier tick has not ended")
        if prepared is None:
            # The job that was in the way has ended just now.
            raise _Outdated
        verdict = await self._jobs.try_submit(scope, schedule, prepared)
        if verdict.job_id is None:
            standing.fail(verdict.reason)
            return verdict
        # Those that are made up for wait for one another, else none but the last would run.
        if schedule.overlap == Overlap.REPLACE and not intent.plan.makes_up:
            for job_id in standing.active:
                await self._jobs.request_cancel(scope, ULID.trusted(job_id))
        standing.active.append(verdict.job_id)
        return verdict


def _last(tick: datetime, verdict: Verdict) -> dict[str, Any]:
    return {
        "last_scheduled_for": tick,
        "last_outcome": verdict.outcome.value,
        "last_reason": verdict.reason,
        "last_job_id": verdict.job_id,
    }


def _in_sight(active: Sequence[str], unfinished: Sequence[str]) -> list[str]:
    """Return which jobs are to be looked at: somebody may have let one run again that had ended."""
    return [*(job_id for job_id in unfinished if job_id not in active), *active]


def _is_in_the_way(schedule: Schedule, standing: Standing, plan: Plan) -> bool:
    # Those that are made up for wait for one another, else all but the first would be missed again.
    return schedule.overlap == Overlap.SKIP and bool(standing.active) and not plan.makes_up


def _moved(schedule: Schedule, standing: Standing, plan: Plan) -> dict[str, Any]:
    values: dict[str, Any] = {
        "active": standing.active,
        "failures": standing.failures,
        "next_run_at": plan.next_run_at,
    }
    if standing.is_exhausted(schedule):
        values |= {"enabled": False, "paused_reason": standing.reason_to_pause, "next_run_at": None}
    return values

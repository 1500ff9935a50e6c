"""Jobs that wait until somebody, or something, lets them go on."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from sqlalchemy import Text, null, select, type_coerce, update

from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.context import JobContext
from chapkit.job.endings import Ending, Outcome
from chapkit.job.errors import JobHeldError
from chapkit.job.ledger import JobLedger
from chapkit.job.rows import ATTEMPTS, JOBS, WIRE
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobStatus

HELD_UNTIL = datetime(9000, 1, 1, tzinfo=UTC)
"""A moment that does not come."""
_PENDING = JobStatus.PENDING.value


async def hold(context: JobContext, code: str, reason: str) -> NoReturn:
    """Let the job wait with this error, as if it had not been started; called by its handler.

    Raises:
        JobHeldError: Always: the attempt is over and its end is written down.
    """
    runtime, claim = context.services.get(JobRuntime), context.claim
    ending = Ending(
        status=JobStatus.PENDING,
        outcome=Outcome.RELEASED,
        error=reason,
        error_code=code,
        failures=claim.failures,
        crashes=claim.crashes,
        run_after=HELD_UNTIL,
    )
    async with context.scope.write() as scope:
        await JobLedger(scope.session, runtime.clock.now()).end(claim.fence, ending)
        scope.after_commit(lambda: runtime.hub.changed(context.job_id))
    raise JobHeldError


async def was_held(context: JobContext, code: str) -> bool:
    """Tell whether the attempt before this one ended with `code`, so that somebody has let the job go on."""
    previous = select(ATTEMPTS.c.error_code).where(
        ATTEMPTS.c.job_id == context.job_id, ATTEMPTS.c.number == context.attempt - 1
    )
    async with context.scope.read() as scope:
        return await scope.session.scalar(previous) == code


async def release(scope: Scope, code: str, wanted: Callable[[Mapping[str, Any]], bool]) -> list[ULID]:
    """Let the jobs that are held with `code` start, as far as their labels are wanted; return them."""
    runtime = scope.services.get(JobRuntime)
    held = (JOBS.c.status == _PENDING, JOBS.c.run_after == HELD_UNTIL, JOBS.c.error_code == code)
    rows = (await scope.session.execute(select(JOBS.c.id, JOBS.c.labels).where(*held))).all()
    ledger = JobLedger(scope.session, runtime.clock.now())
    released: list[ULID] = []
    for job_id, labels in rows:
        if wanted(labels):
            changes: dict[str, Any] = {"run_after": ledger.now, "error": null(), "error_code": null()}
            statement = update(JOBS).where(JOBS.c.id == job_id, *held).values(**changes, events=JOBS.c.events + 1)
            statement = statement.returning(*WIRE, JOBS.c.events, type_coerce(JOBS.c.id, Text))
            changed = (await scope.session.execute(statement)).mappings().all()
            await ledger.add_status_events(changed, reason="released")
            released += [job_id] if changed else []
    if released:
        scope.after_commit(lambda: runtime.hub.changed_all(released))
        scope.after_commit(lambda: runtime.dispatcher.submitted(released[0]))
    return released

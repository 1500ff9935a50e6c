"""How an attempt is written down: everything in one transaction, or nothing."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable

from pydantic_core import to_json

from chapkit.core.errors import ChapkitError, StorageFullError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.services import Scope
from chapkit.job.claims import Report, storable
from chapkit.job.context import JobContext
from chapkit.job.errors import StaleAttemptError
from chapkit.job.ledger import Ending, JobLedger
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobStatus

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_MAX_ERROR_LENGTH = 10_000
FAILED = "job-failed"

_PASSING = (UnavailableError, ConnectionError)
_PATIENCE = 600.0
"""Seconds to try again what others have a part in; the bare status is tried until it is written."""

_Writing = Callable[[Scope, JobLedger], Awaitable[None]]


class Recorder:
    """Writes the end of attempts, each under its fence."""

    def __init__(self, runtime: JobRuntime) -> None:
        self._runtime = runtime

    async def completed(self, context: JobContext, outcome: JobOutcome) -> None:
        """Store the outcome and the status `completed` together.

        Raises:
            StaleAttemptError: The job is no longer this attempt's; nothing was stored.
        """

        async def write(scope: Scope, ledger: JobLedger) -> None:
            await ledger.finish(context.claim.fence, Ending(JobStatus.COMPLETED, artifact_id=outcome.artifact_id))
            result = await outcome.record(scope) if outcome.record is not None else outcome.result
            if result is not None:
                await ledger.store_result(context.job_id, to_json(result))

        await self._persist(context, write, patience=_PATIENCE)

    async def failed(self, context: JobContext, handler: JobHandler | None, error: BaseException) -> None:
        """Store what the handler says of the failure and the status `failed` together.

        Raises:
            StaleAttemptError: The job is no longer this attempt's; nothing was stored.
        """
        ending = ending_of(error)

        async def write(scope: Scope, ledger: JobLedger) -> None:
            await ledger.finish(context.claim.fence, ending)

        async def write_with_diagnosis(scope: Scope, ledger: JobLedger) -> None:
            await write(scope, ledger)
            if handler is not None:
                await handler.on_failure(scope, context, error)

        try:
            await self._persist(context, write_with_diagnosis, patience=_PATIENCE)
        except StaleAttemptError:
            raise
        except Exception as problem:
            # What goes wrong in the diagnosis must not keep the job from ending.
            get_logger("chapkit.job").error("job.diagnosis_failed", job_id=context.job_id, error=describe(problem))
            # Nor must what it told; a job whose end cannot be written would be run again and again.
            context.take_reports()
            await self._persist(context, write)

    async def canceled(self, context: JobContext) -> None:
        """Store the status `canceled`.

        Raises:
            StaleAttemptError: The job is no longer this attempt's, or nobody asked it to stop.
        """

        async def write(scope: Scope, ledger: JobLedger) -> None:
            await ledger.finish(context.claim.fence, Ending(JobStatus.CANCELED))

        await self._persist(context, write)

    async def report(self, context: JobContext) -> None:
        """Store what the job told so far.

        Raises:
            StaleAttemptError: The job is no longer this attempt's.
        """
        reports = context.take_reports()
        try:
            await self._write(context, reports, _write_nothing)
        except _PASSING:
            context.put_back(reports)

    async def _persist(self, context: JobContext, write: _Writing, patience: float | None = None) -> None:
        # The work is done and must not be lost because the database cannot be reached for a while.
        loop = asyncio.get_running_loop()
        deadline = None if patience is None else loop.time() + patience
        reports = context.take_reports()
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._write(context, reports, write)
                return
            except Exception as error:
                is_passing = isinstance(error, _PASSING) or (deadline is None and isinstance(error, StorageFullError))
                if not is_passing or (deadline is not None and loop.time() > deadline):
                    context.put_back(reports)
                    raise
                get_logger("chapkit.job").warning("job.recording_waits", job_id=context.job_id, error=describe(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _write(self, context: JobContext, reports: list[Report], write: _Writing) -> None:
        job_id: ULID = context.job_id
        async with self._runtime.services.scope.write() as scope:
            ledger = self._ledger(scope)
            if reports:
                await ledger.report(context.claim.fence, reports)
            await write(scope, ledger)
            scope.after_commit(lambda: self._runtime.hub.changed(job_id))

    def _ledger(self, scope: Scope) -> JobLedger:
        return JobLedger(scope.session, self._runtime.clock.now())


async def _write_nothing(scope: Scope, ledger: JobLedger) -> None:
    pass


def ending_of(error: BaseException) -> Ending:
    """Return how a failure is written down."""
    code = error.code if isinstance(error, ChapkitError) else FAILED
    text = "".join(traceback.format_exception(error))
    return Ending(JobStatus.FAILED, describe(error), code, storable(text))


def describe(error: BaseException) -> str:
    """Return kind and message of an error, all of its lines."""
    message = storable(str(error))
    return (f"{type(error).__name__}: {message}" if message else type(error).__name__)[:_MAX_ERROR_LENGTH]

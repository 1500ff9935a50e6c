"""How an attempt is written down: everything in one transaction, or nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pydantic_core import to_json

from chapkit.core.errors import StorageFullError, UnavailableError
from chapkit.core.faults import reach
from chapkit.core.logging import get_logger
from chapkit.core.services import Scope
from chapkit.job import endings
from chapkit.job.claims import Report
from chapkit.job.context import JobContext
from chapkit.job.desk import Entry, JobDesk
from chapkit.job.endings import Ending, describe
from chapkit.job.errors import StaleAttemptError
from chapkit.job.ledger import JobLedger
from chapkit.job.ports import JobHandler, JobOutcome, Recording
from chapkit.job.runtime import JobRuntime

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_PASSING = (UnavailableError, ConnectionError, StorageFullError)
_PATIENCE = 600.0
"""Seconds to try again what others have a part in; the bare status is tried until it is written."""

_Writing = Callable[[list[Report]], Awaitable[None]]


class Recorder:
    """Writes the end of attempts, each under its fence."""

    def __init__(self, runtime: JobRuntime) -> None:
        self._runtime = runtime
        self._desk = JobDesk(runtime)

    async def completed(self, context: JobContext, outcome: JobOutcome) -> None:
        """Store the outcome and the status `completed` together.

        Raises:
            StaleAttemptError: The job is no longer this attempt's; nothing was stored.
        """
        ending = endings.completed(context.claim, outcome.artifact_id)
        if outcome.record is None:
            await self._end(context, ending, outcome.result)
        else:
            await self._end_with(context, ending, outcome.record)

    async def failed(self, context: JobContext, handler: JobHandler | None, error: BaseException) -> bool:
        """Store what the handler says of the failure and the status together; return whether it is the final one.

        Raises:
            StaleAttemptError: The job is no longer this attempt's; nothing was stored.
        """
        ending = endings.failed(context.claim, error, self._runtime.clock.now())
        if not ending.is_final or handler is None:
            await self._end(context, ending)
            return ending.is_final

        async def diagnose(scope: Scope) -> None:
            await handler.on_failure(scope, context, error)

        try:
            await self._end_with(context, ending, diagnose)
        except StaleAttemptError:
            raise
        except Exception as problem:
            # What goes wrong in the diagnosis must not keep the job from ending.
            get_logger("chapkit.job").error("job.diagnosis_failed", job_id=context.job_id, error=describe(problem))
            # Nor must what it told; a job whose end cannot be written would be run again and again.
            context.take_reports()
            await self._end(context, ending)
        return True

    async def stopped(self, context: JobContext, ending: Ending) -> None:
        """Store the end of an attempt that was asked to stop.

        Raises:
            StaleAttemptError: The job is no longer this attempt's, or nobody asked it to stop.
        """
        await self._end(context, ending)

    async def report(self, context: JobContext) -> None:
        """Store what the job told so far.

        Raises:
            StaleAttemptError: The job is no longer this attempt's.
        """
        reports = context.take_reports()
        try:
            async with self._runtime.services.scope.write() as scope:
                await self._ledger(scope).report(context.claim.fence, reports)
                reach("job.report.before-commit")
        except _PASSING:
            context.put_back(reports)
            return
        self._runtime.hub.changed(context.job_id)

    async def _end(self, context: JobContext, ending: Ending, result: object = None) -> None:
        text = None if result is None else to_json(result)

        async def write(reports: list[Report]) -> None:
            measured = replace(ending, usage=context.usage)
            try:
                await self._desk.write(Entry(context.claim.fence, measured, reports, text))
            except StaleAttemptError:
                # What it told is written all the same, unless the job is another attempt's.
                reports.clear()
                raise

        await self._persist(context, write)

    async def _end_with(self, context: JobContext, ending: Ending, record: Recording) -> None:
        async def write(reports: list[Report]) -> None:
            async with self._runtime.services.scope.write() as scope:
                ledger = self._ledger(scope)
                await Entry(context.claim.fence, replace(ending, usage=context.usage), reports).write(ledger)
                reach("job.record.before-record")
                result = await record(scope)
                if result is not None:
                    await ledger.store_result(context.job_id, to_json(result))
                reach("job.record.before-commit")
            reach("job.record.after-commit")
            self._runtime.hub.changed(context.job_id)

        await self._persist(context, write, patience=_PATIENCE)

    async def _persist(self, context: JobContext, write: _Writing, patience: float | None = None) -> None:
        # The work is done and must not be lost because the database cannot be reached, or has no room, for a while.
        loop = asyncio.get_running_loop()
        deadline = None if patience is None else loop.time() + patience
        reports = context.take_reports()
        pause = _FIRST_PAUSE
        while True:
            try:
                await write(reports)
                return
            except Exception as error:
                if not isinstance(error, _PASSING) or (deadline is not None and loop.time() > deadline):
                    context.put_back(reports)
                    raise
                get_logger("chapkit.job").warning("job.recording_waits", job_id=context.job_id, error=describe(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _ledger(self, scope: Scope) -> JobLedger:
        return JobLedger(scope.session, self._runtime.clock.now())

"""One attempt at a job in this process."""

import asyncio
from typing import Any

from chapkit.core.logging import add_request_context, get_logger
from chapkit.job.claims import Claim
from chapkit.job.context import JobContext
from chapkit.job.errors import StaleAttemptError
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.recording import Recorder
from chapkit.job.runtime import JobRuntime

_REPORT_PAUSE = 0.1
"""Seconds between two writings of progress, so that a busy loop does not flood the database."""


class JobRun:
    """Runs the handler, then records what came of it."""

    def __init__(self, runtime: JobRuntime, recorder: Recorder, claim: Claim) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._reporter: asyncio.Task[None] | None = None
        # Cancelled in the middle, the reporter would lose what it has taken from the context.
        self._writing = asyncio.Lock()
        self._abandoned = False
        self._handler: JobHandler | None = None
        self.context = JobContext(claim, runtime.services, runtime.user_code, self._on_report)
        self._body = asyncio.create_task(self._execute(), name=f"chapkit:job:{claim.fence.job_id}")
        self._body.add_done_callback(_retrieve)

    def cancel(self) -> None:
        """Ask the job to stop, because somebody wants that."""
        self.context.request_cancel()
        self._body.cancel()

    def abandon(self) -> None:
        """Ask the job to stop, because the process ends; its row is given back by others."""
        self._abandoned = True
        self.context.request_cancel()
        self._body.cancel()

    async def run(self) -> None:
        """Wait for the end of the handler and record it."""
        try:
            await asyncio.wait({self._body})
            await self._stop_reporter()
            if not self._abandoned:
                await self._conclude()
        except StaleAttemptError:
            get_logger("chapkit.job").warning("job.stale", job_id=self.context.job_id, attempt=self.context.attempt)
        finally:
            self._body.cancel()
            if self._reporter is not None:
                self._reporter.cancel()

    async def _execute(self) -> JobOutcome:
        add_request_context(job_id=str(self.context.job_id))
        self._handler = self._runtime.handlers.get(self.context.claim.handler)
        return await self._handler.execute(self.context)

    async def _conclude(self) -> None:
        if not self.context.cancel_requested:
            try:
                await self._record()
                return
            except StaleAttemptError:
                # Perhaps another process asked the job to stop in the last moment.
                await self._recorder.canceled(self.context)
                return
        await self._recorder.canceled(self.context)

    async def _record(self) -> None:
        error = self._error()
        if error is None:
            try:
                await self._recorder.completed(self.context, self._body.result())
                return
            except StaleAttemptError:
                raise
            except Exception as problem:
                error = problem
        await self._recorder.failed(self.context, self._handler, error)

    def _error(self) -> BaseException | None:
        return asyncio.CancelledError() if self._body.cancelled() else self._body.exception()

    def _on_report(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._start_reporter)

    def _start_reporter(self) -> None:
        if self._reporter is None and not self._body.done():
            self._reporter = asyncio.create_task(self._report())
            self._reporter.add_done_callback(_retrieve)

    async def _report(self) -> None:
        try:
            async with self._writing:
                await self._recorder.report(self.context)
        except StaleAttemptError:
            # Nobody waits for this attempt any more.
            self.abandon()
        await asyncio.sleep(_REPORT_PAUSE)
        self._reporter = None
        if self.context.has_reports:
            self._start_reporter()

    async def _stop_reporter(self) -> None:
        reporter = self._reporter
        if reporter is None:
            return
        async with self._writing:
            reporter.cancel()
        await asyncio.wait({reporter})


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()

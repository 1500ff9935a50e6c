"""One attempt at a job in this process."""

import asyncio
import contextvars
from datetime import datetime
from functools import partial
from typing import Any, cast

from chapkit.core.logging import add_request_context, get_logger
from chapkit.core.origin import working_on_behalf
from chapkit.job import endings
from chapkit.job.attempt_limit import AttemptLimit
from chapkit.job.claims import Claim
from chapkit.job.context import JobContext
from chapkit.job.current import working_for
from chapkit.job.errors import JobHeldError, JobOutcomeError, JobTimeoutError, StaleAttemptError
from chapkit.job.logs import keeping_logs
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.recording import Recorder
from chapkit.job.reporter import Reporter
from chapkit.job.runtime import JobRuntime
from chapkit.job.statements import DEADLINE_PASSED


class JobRun:
    """Runs the handler, then records what came of it."""

    def __init__(self, runtime: JobRuntime, recorder: Recorder, claim: Claim) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._handler: JobHandler | None = None
        self._timeout: JobTimeoutError | None = None
        self._was_asked = False
        self._was_released = False
        self._timers: list[asyncio.TimerHandle | AttemptLimit] = []
        self._over: asyncio.Future[None] = self._loop.create_future()
        self.context = JobContext(claim, runtime.services, runtime.user_code, self._on_report)
        self._reporter = Reporter(recorder, self.context, on_stale=self.release)
        self._body = asyncio.create_task(self._execute(), name=f"chapkit:job:{claim.fence.job_id}")
        self._body.add_done_callback(self._end_body)
        self._set_timers(claim, runtime.clock.now())

    def cancel(self) -> None:
        """Ask the job to stop, because somebody wants that."""
        self._was_asked = True
        self._stop()

    def release(self) -> None:
        """Ask the job to stop, because the process ends or the job is another one's; nothing is recorded."""
        self._was_released = True
        self._stop()

    async def run(self) -> None:
        """Wait for the end of the handler and record it."""
        try:
            await asyncio.shield(self._over)
            await self._reporter.stop()
            self.context.close_log()
            if not self._was_released:
                await self._conclude()
        except StaleAttemptError:
            self._tell_of_lost_attempt()
        finally:
            self._body.cancel()
            self._reporter.cancel()
            for timer in self._timers:
                timer.cancel()

    def _stop(self) -> None:
        self.context.request_cancel()
        self._body.cancel()
        if not self._over.done():
            self._timers.append(self._loop.call_later(self._runtime.limits.desert_after, self._desert))

    def _set_timers(self, claim: Claim, now: datetime) -> None:
        if claim.timeout is not None:
            error = JobTimeoutError(f"The attempt took longer than the {claim.timeout:g} seconds that it may")
            limit = AttemptLimit(claim.timeout, partial(self._time_out, error))
            self.context.waiting = limit.paused
            self._timers.append(limit)
        if claim.deadline is not None:
            left = (claim.deadline - now).total_seconds()
            error = JobTimeoutError(
                "The job had not ended when all of its time was over", code=DEADLINE_PASSED, is_lasting=True
            )
            self._timers.append(self._loop.call_later(max(0.0, left), self._time_out, error))

    def _time_out(self, error: JobTimeoutError) -> None:
        if self._timeout is None and not self._body.done():
            self._timeout = error
            self._stop()

    def _desert(self) -> None:
        if not self._over.done():
            get_logger("chapkit.job").error("job.deserted", job_id=self.context.job_id)
            self._runtime.user_code.loop.leave_if_blocked()
            self._over.set_result(None)

    def _end_body(self, body: asyncio.Task[Any]) -> None:
        if not body.cancelled():
            body.exception()
        if not self._over.done():
            self._over.set_result(None)

    async def _execute(self) -> JobOutcome:
        add_request_context(job_id=str(self.context.job_id))
        handler = self._handler = self._runtime.handlers.get(self.context.claim.handler)
        self.context.executor = handler.executor
        with working_for(self.context), keeping_logs(self.context), working_on_behalf(self.context.labels):
            outcome = cast("object", await handler.execute(self.context))
        if not isinstance(outcome, JobOutcome):
            raise JobOutcomeError(handler.name, outcome)
        return outcome

    def _tell_of_lost_attempt(self) -> None:
        logger, names = get_logger("chapkit.job"), {"job_id": self.context.job_id, "attempt": self.context.attempt}
        if self._body.done() and isinstance(self._error(), JobHeldError):
            logger.info("job.held", **names)
        else:
            logger.warning("job.stale", **names)

    async def _conclude(self) -> None:
        if self._was_asked:
            await self._recorder.stopped(self.context, self._stopped())
            return
        try:
            await self._record()
        except StaleAttemptError:
            # Perhaps another process asked the job to stop in the last moment.
            await self._recorder.stopped(self.context, self._stopped())

    def _stopped(self) -> endings.Ending:
        if self._body.done():
            return endings.canceled(self.context.claim)
        return endings.deserted(self.context.claim)

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
        if self._timeout is not None:
            return self._timeout if self._body.done() else self._timeout.deserting()
        return asyncio.CancelledError() if self._body.cancelled() else self._body.exception()

    def _on_report(self) -> None:
        if not self._loop.is_closed():
            # In no job's context: what is logged about the writing must not be written itself.
            self._loop.call_soon_threadsafe(self._start_reporter, context=contextvars.Context())

    def _start_reporter(self) -> None:
        if not self._over.done():
            self._reporter.start()

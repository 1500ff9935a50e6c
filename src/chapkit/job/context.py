"""What a handler knows of its job, and what it may do."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

from pydantic_core import from_json

from chapkit.core.ids import ULID
from chapkit.core.services import Scopes, Services
from chapkit.job.claims import Claim, Report, Usage, storable
from chapkit.job.errors import JobCanceledError
from chapkit.job.executors.metering import MeteredCoroutine, metered
from chapkit.job.executors.thread import MOST_THREADS
from chapkit.job.executors.user_code import UserCode, is_coroutine_function
from chapkit.job.log_budget import LogBudget
from chapkit.job.reports import WaitingReports

_MAX_MESSAGE = 1000
_PROCESS = "process"


class JobContext:
    """One attempt at a job, seen by its handler; what it offers may be called from any thread."""

    def __init__(
        self, claim: Claim, services: Services, user_code: UserCode, on_report: Callable[[], object] = lambda: None
    ) -> None:
        self.claim = claim
        self.services = services
        self.user_code = user_code
        self._on_report = on_report
        self._reports = WaitingReports()
        self._canceled = threading.Event()
        self._budget = LogBudget()
        self._threads = asyncio.Semaphore(MOST_THREADS)
        self.executor: str | None = None
        self.usage = Usage()
        self.waiting: Callable[[], AbstractContextManager[None]] = nullcontext
        """What waits in it for its turn takes nothing from the time of the attempt; on the event loop."""

    @property
    def job_id(self) -> ULID:
        """Identifier of the job."""
        return self.claim.fence.job_id

    @property
    def attempt(self) -> int:
        """Number of this attempt, counted from 1."""
        return self.claim.fence.attempt

    @property
    def artifact_id(self) -> ULID | None:
        """Identifier that the result must have, if one was handed out."""
        return self.claim.artifact_id

    @property
    def payload_blob(self) -> str | None:
        """SHA-256 of the stored content that belongs to the payload."""
        return self.claim.payload_blob

    @property
    def labels(self) -> dict[str, Any]:
        """Labels that the job was submitted with."""
        return self.claim.labels

    @cached_property
    def payload(self) -> dict[str, Any]:
        """The payload that the job was submitted with."""
        payload: dict[str, Any] = from_json(self.claim.payload)
        return payload

    @property
    def scope(self) -> Scopes:
        """Opens units of work; none may be open while functions of the user run."""
        return self.services.scope

    async def run_user_function(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns, run where it holds up nobody."""
        self.check_canceled()
        if self.executor == _PROCESS:
            return await self.user_code.processes.call(
                function, args, kwargs, job=self, on_usage=self.note_usage, waiting=self.waiting
            )
        if is_coroutine_function(function):
            return await self.user_code.run(self.step_through, function, *args, **kwargs)
        async with self._threads:
            return await self.user_code.run(metered, self.note_usage, function, *args, **kwargs)

    async def step_through(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
        """Return what the coroutine returns, and note what its steps have used."""
        return await MeteredCoroutine(function(*args, **kwargs), self.note_usage)

    def note_usage(self, usage: Usage) -> None:
        """Add to what the attempt has used."""
        self.usage = self.usage.plus(usage)

    @property
    def cancel_requested(self) -> bool:
        """Tell whether the job should end as soon as it can."""
        return self._canceled.is_set()

    def check_canceled(self) -> None:
        """Go on, unless the job was asked to stop.

        Raises:
            JobCanceledError: It was; let it through.
        """
        if self.cancel_requested:
            raise JobCanceledError

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Tell how much is done, from 0 to 1, and with what."""
        told = {} if message is None else {"message": storable(message)[:_MAX_MESSAGE]}
        self._report(Report("progress", {"progress": min(1.0, max(0.0, float(fraction))), **told}))

    def report_progress(self, fraction: float) -> None:
        """Tell how much is done, from 0 to 1."""
        self.progress(fraction)

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        """Add a line to the events of the job; values that are no numbers are kept as text."""
        line = self._budget.admit(message, level, values)
        if line is not None:
            self._report(line)

    def request_cancel(self) -> None:
        """Let `cancel_requested` be true from now on."""
        self._canceled.set()

    @property
    def has_reports(self) -> bool:
        """Tell whether something was told since the last `take_reports`."""
        return bool(self._reports)

    def put_back(self, reports: list[Report]) -> None:
        """Keep reports that could not be written for the next time; of progress, what was told since is newer."""
        self._reports.put_back(reports)

    def close_log(self) -> None:
        """Say how many lines were left out; the attempt is over."""
        left_out = self._budget.leftover()
        if left_out is not None:
            self._reports.add(left_out)

    def take_reports(self) -> list[Report]:
        """Return what was told since the last call: the lines, then the newest progress."""
        return self._reports.take()

    def _report(self, report: Report) -> None:
        self._reports.add(report)
        self._on_report()

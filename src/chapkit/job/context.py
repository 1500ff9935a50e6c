"""What a handler knows of its job, and what it may do."""

import threading
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import Any

from pydantic_core import from_json

from chapkit.core.ids import ULID
from chapkit.core.services import Scopes, Services
from chapkit.job.claims import Claim, Report, storable
from chapkit.job.errors import JobCanceledError
from chapkit.job.executors.user_code import UserCode

_MAX_WAITING_REPORTS = 1000


class JobContext:
    """One attempt at a job, seen by its handler; what it offers may be called from any thread."""

    def __init__(
        self, claim: Claim, services: Services, user_code: UserCode, on_report: Callable[[], object] = lambda: None
    ) -> None:
        self.claim = claim
        self.services = services
        self.user_code = user_code
        self._on_report = on_report
        self._reports: deque[Report] = deque(maxlen=_MAX_WAITING_REPORTS)
        self._canceled = threading.Event()

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
        return await self.user_code.run(function, *args, **kwargs)

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

    def report_progress(self, fraction: float) -> None:
        """Tell how much is done, from 0 to 1."""
        self._report(Report("progress", {"progress": min(1.0, max(0.0, float(fraction)))}))

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        """Add a line to the events of the job; values that are no numbers are kept as text."""
        plain = {
            name: value if isinstance(value, int | float | None) else storable(str(value))
            for name, value in values.items()
        }
        self._report(Report("log", {"level": level, "message": storable(message), **plain}))

    def request_cancel(self) -> None:
        """Let `cancel_requested` be true from now on."""
        self._canceled.set()

    @property
    def has_reports(self) -> bool:
        """Tell whether something was told since the last `take_reports`."""
        return bool(self._reports)

    def put_back(self, reports: list[Report]) -> None:
        """Keep reports that could not be written for the next time."""
        self._reports.extendleft(reversed(reports))

    def take_reports(self) -> list[Report]:
        """Return what was told since the last call."""
        reports: list[Report] = []
        while self._reports:
            reports.append(self._reports.popleft())
        return reports

    def _report(self, report: Report) -> None:
        self._reports.append(report)
        self._on_report()

"""The job that the code around it works for."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID


class RunningJob(Protocol):
    """What a function of the user may ask and tell while it runs, in whatever thread or process."""

    @property
    def job_id(self) -> ULID:
        """Identifier of the job."""
        ...

    @property
    def attempt(self) -> int:
        """Number of this attempt, counted from 1."""
        ...

    @property
    def cancel_requested(self) -> bool:
        """Tell whether the job should end as soon as it can."""
        ...

    def check_canceled(self) -> None:
        """Go on, unless the job was asked to stop.

        Raises:
            JobCanceledError: It was; let it through.
        """
        ...

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Tell how much is done, from 0 to 1, and with what."""
        ...

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        """Add a line to the events of the job."""
        ...


_CURRENT: ContextVar[RunningJob | None] = ContextVar("chapkit_current_job", default=None)


def find_current_job() -> RunningJob | None:
    """Return the job that the caller works for, or `None`."""
    return _CURRENT.get()


def current_job() -> RunningJob:
    """Return the job that the caller works for.

    Raises:
        ConfigurationError: The caller works for no job (`no-running-job`).
    """
    job = _CURRENT.get()
    if job is None:
        raise ConfigurationError(
            "No job runs here; call current_job() in a function that a job runs", code="no-running-job"
        )
    return job


@contextmanager
def working_for(job: RunningJob) -> Generator[None]:
    """Let `current_job` return `job` inside of the block, and in the threads and tasks that are started there."""
    token = _CURRENT.set(job)
    try:
        yield
    finally:
        _CURRENT.reset(token)

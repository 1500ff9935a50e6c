"""What can go wrong with jobs."""

from chapkit.core.errors import ChapkitError, ConflictError, NotFoundError
from chapkit.core.ids import ULID


class JobNotFoundError(NotFoundError, KeyError):
    """There is no such job."""

    def __init__(self, job_id: ULID) -> None:
        super().__init__(f"Job not found: {job_id}", code="job-not-found", found=str(job_id))

    def __str__(self) -> str:
        # A KeyError would put the text in quotes.
        return self.detail


class JobResultError(ConflictError, RuntimeError):
    """The job has no result to hand out."""


class JobFailedError(ChapkitError, RuntimeError):
    """The job failed."""


class JobCanceledError(ConflictError):
    """The job was asked to stop."""

    def __init__(self) -> None:
        super().__init__(code="job-canceled")


class StaleAttemptError(ConflictError):
    """The job is no longer this attempt's; nothing of it was recorded."""

    def __init__(self) -> None:
        super().__init__(code="job-attempt-stale")


class ProcessExitError(ChapkitError):
    """The function tried to end the process."""

    def __init__(self, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        super().__init__(f"The function tried to end the process: {text}", code="job-exited")

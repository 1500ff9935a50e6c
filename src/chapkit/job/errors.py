"""What can go wrong with jobs."""

from chapkit.core.error_text import name_and_text
from chapkit.core.errors import ChapkitError, ConflictError, NotFoundError
from chapkit.core.ids import ULID


class JobNotFoundError(NotFoundError, KeyError):
    """There is no such job."""

    def __init__(self, job_id: ULID) -> None:
        super().__init__(f"Job not found: {job_id}", code="job-not-found", found=str(job_id))

    def __str__(self) -> str:
        # A KeyError would put the text in quotes.
        return self.detail


class KeyReusedError(ConflictError):
    """The key has made another request the only one of its kind."""

    def __init__(self, sent_key: str) -> None:
        super().__init__(
            "The idempotency key was used for another request; use a new key for each request",
            code="idempotency-key-reused",
            field="Idempotency-Key",
            found=sent_key,
        )


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


class JobHeldError(StaleAttemptError):
    """The job waits until somebody lets it go on; what this attempt had to say is recorded."""


class JobOutcomeError(ChapkitError, TypeError):
    """The handler of the job has returned something else than an outcome."""

    def __init__(self, handler: str, outcome: object) -> None:
        super().__init__(
            f"execute() of the job handler {handler!r} returned {type(outcome).__name__}, but a JobOutcome is wanted; "
            "return JobOutcome(result=...) for a small JSON value, JobOutcome() for nothing",
            code="job-outcome-invalid",
            found=type(outcome).__name__,
        )


class ProcessExitError(ChapkitError):
    """The function tried to end the process."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"The function tried to end the process: {name_and_text(error)}", code="job-exited")


class JobTimeoutError(ChapkitError, TimeoutError):
    """The attempt took longer than it may."""

    def __init__(self, detail: str, *, code: str = "job-timed-out", is_lasting: bool = False) -> None:
        super().__init__(detail, code=code)
        self.is_lasting = is_lasting
        """Whether another attempt would make no sense."""

    def deserting(self) -> "JobTimeoutError":
        """Return the same for a function that goes on all the same; a second one must not run beside it."""
        text = f"{self.detail}; its function does not answer and goes on in its thread, left to itself"
        return JobTimeoutError(text, code=self.code, is_lasting=True)


class JobDesertedError(ChapkitError):
    """The function was asked to stop, but goes on."""

    def __init__(self) -> None:
        super().__init__(
            "The job was asked to stop, but its function does not answer and goes on in its thread, left to itself; "
            "let it call check_canceled() now and then, or run it in a child process (executor='process')",
            code="job-deserted",
        )


class ProcessDiedError(ChapkitError):
    """The child process in which the function ran has died: a crash, apart from an exception."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, code="job-process-died")

"""How an attempt ends, and what becomes of the job then."""

import traceback
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chapkit.core.error_text import name_and_text
from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.job.claims import Claim, Usage, storable
from chapkit.job.errors import JobDesertedError, JobTimeoutError, ProcessDiedError
from chapkit.job.executors.raised import ChildTraceback
from chapkit.job.schemas import JobStatus

MOST_CRASHES = 3
"""Deaths of the job's own child process after which nobody runs it again by himself."""
FAILED, POISONED = "job-failed", "job-poisoned"
_MAX_ERROR_LENGTH = 10_000
_CRASH_PAUSE = 1.0


class Outcome(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CRASHED = "crashed"
    CANCELED = "canceled"
    RELEASED = "released"
    RECOVERED = "recovered"
    TAKEN_OVER = "taken-over"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What is written down at the end of an attempt."""

    status: JobStatus
    """`pending`, if there is another attempt."""
    outcome: Outcome
    error: str | None = None
    error_code: str | None = None
    error_traceback: str | None = None
    artifact_id: ULID | None = None
    failures: int = 0
    crashes: int = 0
    run_after: datetime | None = None
    was_asked: bool = False
    """Whether somebody had asked the job to stop; it ends in no other way then."""
    usage: Usage = field(default_factory=Usage)

    @property
    def is_final(self) -> bool:
        """Tell whether the job has ended with the attempt."""
        return self.status.is_final


def completed(claim: Claim, artifact_id: ULID | None = None) -> Ending:
    """Return the end of an attempt that did what it should."""
    return Ending(
        status=JobStatus.COMPLETED,
        outcome=Outcome.COMPLETED,
        artifact_id=artifact_id,
        failures=claim.failures,
        crashes=claim.crashes,
    )


def canceled(claim: Claim) -> Ending:
    """Return the end of an attempt that was asked to stop."""
    return Ending(
        status=JobStatus.CANCELED,
        outcome=Outcome.CANCELED,
        failures=claim.failures,
        crashes=claim.crashes,
        was_asked=True,
    )


def deserted(claim: Claim) -> Ending:
    """Return the end of an attempt that was asked to stop and goes on all the same."""
    return replace(_told(claim, JobDesertedError()), was_asked=True)


def failed(claim: Claim, error: BaseException, now: datetime) -> Ending:
    """Return the end of an attempt that raised: the job failed, or waits for another attempt."""
    if isinstance(error, ProcessDiedError):
        return _crashed(claim, error, now)
    failures = claim.failures + 1
    ending = replace(
        _told(claim, error),
        outcome=Outcome.TIMED_OUT if isinstance(error, JobTimeoutError) else Outcome.FAILED,
        failures=failures,
    )
    is_lasting = isinstance(error, JobTimeoutError) and error.is_lasting
    if claim.retry is None or is_lasting or not claim.retry.allows(error, failures):
        return ending
    return _again(ending, claim, now + timedelta(seconds=claim.retry.delay(failures)))


def _crashed(claim: Claim, error: BaseException, now: datetime) -> Ending:
    crashes = claim.crashes + 1
    ending = replace(_told(claim, error), outcome=Outcome.CRASHED, crashes=crashes)
    if crashes < MOST_CRASHES:
        return _again(ending, claim, now + timedelta(seconds=_CRASH_PAUSE * 2 ** (crashes - 1)))
    text = f"{ending.error} ({crashes} times by now; it runs again only when it is retried by hand)"
    return replace(ending, error=text, error_code=POISONED)


def _again(ending: Ending, claim: Claim, moment: datetime) -> Ending:
    if claim.deadline is not None and moment >= claim.deadline:
        # It could not start any more.
        return ending
    return replace(ending, status=JobStatus.PENDING, run_after=moment)


def _told(claim: Claim, error: BaseException) -> Ending:
    return Ending(
        status=JobStatus.FAILED,
        outcome=Outcome.FAILED,
        error=describe(error),
        error_code=error.code if isinstance(error, ChapkitError) else FAILED,
        error_traceback=storable(_trace(error)),
        failures=claim.failures,
        crashes=claim.crashes,
    )


def _trace(error: BaseException) -> str:
    cause = error.__cause__
    return cause.text if isinstance(cause, ChildTraceback) else "".join(traceback.format_exception(error))


def describe(error: BaseException) -> str:
    """Return kind and message of an error, all of its lines."""
    return storable(name_and_text(error))[:_MAX_ERROR_LENGTH]

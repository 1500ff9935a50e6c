"""How a client wants its job to be run; part of the requests that submit one."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from chapkit.core.types import UtcDatetime, storable_text
from chapkit.job.policies import Retry
from chapkit.job.schemas import HIGHEST, LONGEST_TIMEOUT, JobSpec

Seconds = Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT)]
_MOST_URGENT = 1_000_000


class RetryOptions(BaseModel):
    """When a failed job is tried again; see `Retry`."""

    model_config = ConfigDict(extra="forbid")

    attempts: int = Field(default=5, ge=1, le=1000, description="How often it may fail in all.")
    initial: float = Field(default=1.0, ge=0, le=86400, description="Seconds before the second attempt.")
    factor: float = Field(default=2.0, ge=1, le=1000, description="What each further pause is longer by.")
    maximum: float = Field(default=300.0, ge=0, le=2592000, description="Seconds that a pause takes at most.")
    jitter: bool = True
    on: tuple[str, ...] = Field(default=(), description="Names of errors that are worth another attempt; all if empty.")
    never: tuple[str, ...] = Field(default=(), description="Names of errors that are not.")


class JobOptions(BaseModel):
    """How a job is to be run; what is left out is as the service has it."""

    model_config = ConfigDict(extra="forbid")

    retry: RetryOptions | None = None
    timeout: Seconds | None = Field(default=None, description="Seconds that one attempt may take.")
    total_timeout: Seconds | None = Field(default=None, description="Seconds in which it has to end.")
    queue_timeout: Seconds | None = Field(default=None, description="Seconds in which it has to start.")
    queue: str | None = None
    priority: int | None = Field(default=None, ge=-_MOST_URGENT, le=_MOST_URGENT, description="Higher ones first.")
    run_after: UtcDatetime | None = Field(default=None, description="Not before this moment.")
    concurrency_key: str | None = Field(default=None, max_length=200, description="One at a time with this key.")
    concurrency_limit: int | None = Field(default=None, ge=1, le=HIGHEST, description="So many at a time.")

    @field_validator("concurrency_key", "queue")
    @classmethod
    def _check_text(cls, text: str | None) -> str | None:
        return None if text is None else storable_text(text)

    def apply(self, spec: JobSpec) -> JobSpec:
        """Return the spec as the client wants it."""
        given: dict[str, Any] = {
            name: getattr(self, name) for name in type(self).model_fields if getattr(self, name) is not None
        }
        if self.retry is not None:
            given["retry"] = Retry(**self.retry.model_dump())
        return replace(spec, **given)

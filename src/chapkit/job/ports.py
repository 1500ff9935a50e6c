"""What others implement: how a job is done, where its functions run, how a worker hears of it."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.job.context import JobContext
from chapkit.job.policies import Retry
from chapkit.job.schemas import Revision
from chapkit.job.statements import ClaimStatements


class Executor(Protocol):
    """Decides where a plain function runs."""

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns; a cancelled caller goes on only when the function has ended."""
        ...

    async def close(self) -> None:
        """Wait for nothing more."""
        ...


class JobDispatcher(Protocol):
    """Brings news of a job to the worker that has to know; called after the commit."""

    def submitted(self, job_id: ULID) -> None:
        """Tell that a job waits."""
        ...

    def cancel_requested(self, job_id: ULID) -> None:
        """Tell that a running job has to stop."""
        ...


Recording = Callable[[Scope], Awaitable[Any]]


@dataclass(frozen=True)
class JobOutcome:
    """What a job came to, not yet stored."""

    result: Any = None
    """Small JSON value that is kept in the job's row."""
    record: Recording | None = None
    """Stores the rest in the transaction of the final status; what it returns takes the place of `result`."""
    artifact_id: ULID | None = None
    """Where the result is, if that was not known at submission."""


class JobHandler(ABC):
    """Does one kind of job, in several units of work: load, compute without any, record."""

    name: ClassVar[str]
    """What stands in a `JobSpec`."""
    executor: str | None = None
    """`process`: functions of the user run in child processes that can be killed."""
    retry: Retry | None = None
    """What happens after a failure, unless the `JobSpec` says otherwise."""
    never: tuple[type[BaseException], ...] = ()
    """Errors that come again however often a job is tried, whatever a `Retry` says."""
    timeout: float | None = None
    """Seconds that one attempt may take, unless the `JobSpec` says otherwise."""

    @abstractmethod
    async def execute(self, context: JobContext) -> JobOutcome:
        """Do the work; the functions of the user go through `context.run_user_function`."""

    async def revise(self, services: Services, stored: Revision, given: Mapping[str, Any]) -> Revision:
        """Return what a job that is run again is to do instead; `given` takes the place of its payload.

        Raises:
            ChapkitError: This handler could not do that.
        """
        return replace(stored, payload=given, blob=None)

    async def on_failure(self, scope: Scope, context: JobContext, error: BaseException) -> None:
        """Store what helps to understand the failure, in the transaction of the status `failed`."""


class JobHandlers:
    """Port: features add their handlers here."""

    def __init__(self) -> None:
        self._handlers: dict[str, JobHandler] = {}

    def add(self, handler: JobHandler) -> None:
        """Let jobs with the handler's name be done by it.

        Raises:
            ConfigurationError: The name is taken (`job-handler-duplicate`).
        """
        if handler.name in self._handlers:
            raise ConfigurationError(
                f"There are two job handlers named {handler.name!r}; names are unique within a service",
                code="job-handler-duplicate",
                found=handler.name,
            )
        self._handlers[handler.name] = handler
        self.__dict__.pop("claim_statements", None)

    def get(self, name: str) -> JobHandler:
        """Return the handler.

        Raises:
            ConfigurationError: No feature brings it (`job-handler-unknown`).
        """
        if name not in self._handlers:
            raise ConfigurationError(
                f"No feature of this service brings the job handler {name!r}",
                code="job-handler-unknown",
                found=name,
                expected=self.names,
            )
        return self._handlers[name]

    @property
    def names(self) -> list[str]:
        """Names of the handlers."""
        return sorted(self._handlers)

    @cached_property
    def claim_statements(self) -> ClaimStatements:
        """What is asked for jobs that these handlers can do."""
        return ClaimStatements.of(self.names)

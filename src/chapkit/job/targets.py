"""What can be submitted by name, from elsewhere: by a schedule, for instance."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from chapkit.core.errors import ConfigurationError, UnprocessableError
from chapkit.core.services import Scope
from chapkit.job.schemas import JobSpec


class JobTarget(ABC):
    """Turns arguments into a job."""

    name: ClassVar[str]
    """What stands in a schedule: `task`, `ml.train`."""

    @abstractmethod
    async def spec(self, scope: Scope, arguments: Mapping[str, Any]) -> JobSpec:
        """Return the job that does it now.

        Raises:
            ChapkitError: It cannot be done, now or at all; the text says why.
        """

    async def check(self, scope: Scope, arguments: Mapping[str, Any]) -> None:
        """Say early what would be wrong with the arguments.

        Raises:
            ChapkitError: They are wrong.
        """
        await self.spec(scope, arguments)


class JobTargets:
    """Port: features add what can be submitted here."""

    def __init__(self) -> None:
        self._targets: dict[str, JobTarget] = {}

    def add(self, target: JobTarget) -> None:
        """Let it be submitted by its name.

        Raises:
            ConfigurationError: The name is taken (`job-target-duplicate`).
        """
        if target.name in self._targets:
            raise ConfigurationError(
                f"There are two things to submit named {target.name!r}; names are unique within a service",
                code="job-target-duplicate",
                found=target.name,
            )
        self._targets[target.name] = target

    def get(self, name: str) -> JobTarget:
        """Return the target.

        Raises:
            UnprocessableError: No feature of this service brings it (`job-target-unknown`).
        """
        if name not in self._targets:
            raise UnprocessableError(
                f"Nothing named {name!r} can be submitted in this service",
                code="job-target-unknown",
                field="target",
                found=name,
                expected=self.names,
            )
        return self._targets[name]

    @property
    def names(self) -> list[str]:
        """What can be submitted."""
        return sorted(self._targets)

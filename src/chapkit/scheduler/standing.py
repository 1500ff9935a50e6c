"""How the jobs of a schedule are doing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from chapkit.job.schemas import JobStatus
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.repository import ScheduleRepository


@dataclass
class Standing:
    """What is known of the jobs of a schedule after a look at those that had not ended before."""

    active: list[str] = field(default_factory=list[str])
    """Those that have not ended, in the order of their submission."""
    failures: int = 0
    """In a row."""
    error: str | None = None
    """Of the last failure that was seen."""

    @classmethod
    async def look(cls, repository: ScheduleRepository, active: Sequence[str], failures: int, *, writes: bool) -> Self:
        """Look how the jobs ended that had not ended at the last look; each of them counts once."""
        standing = cls(failures=failures)
        for job in await repository.job_states(active, writes=writes):
            standing._note(*job)
        return standing

    def fail(self, error: str | None) -> None:
        """Count one failure more."""
        self.failures += 1
        self.error = error

    def is_exhausted(self, schedule: Schedule) -> bool:
        """Tell whether a schedule has failed so often that it pauses."""
        return schedule.max_failures is not None and self.failures >= schedule.max_failures

    @property
    def reason_to_pause(self) -> str:
        """Why a schedule pauses by itself."""
        last = f"; the last one: {self.error}" if self.error else ""
        return f"{self.failures} failures in a row{last}"

    def _note(self, job_id: str, status: str, error: str | None) -> None:
        if not JobStatus(status).is_final:
            self.active.append(job_id)
        elif status == JobStatus.FAILED:
            self.fail(error)
        elif status == JobStatus.COMPLETED:
            self.failures = 0

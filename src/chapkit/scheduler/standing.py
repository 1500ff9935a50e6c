"""How the jobs of a schedule are doing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

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
    async def of(cls, schedule: Schedule, repository: ScheduleRepository) -> Self:
        """Look how the jobs ended that had not ended at the last look; each of them counts once."""
        standing = cls(failures=schedule.failures)
        jobs = await repository.find_jobs(schedule.active) if schedule.active else {}
        for job_id in schedule.active:
            if (job := jobs.get(job_id)) is not None:
                standing._note(job_id, job)
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

    def _note(self, job_id: str, job: Mapping[Any, Any]) -> None:
        status = JobStatus(job["status"])
        if not status.is_final:
            self.active.append(job_id)
        elif status is JobStatus.FAILED:
            self.fail(job["error"])
        elif status is JobStatus.COMPLETED:
            self.failures = 0

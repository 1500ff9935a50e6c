"""Names of the first release's scheduler; they stand for `JobService` and its schemas."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chapkit.job.schemas import JobRecord as JobRecord
    from chapkit.job.schemas import JobStatus as JobStatus
    from chapkit.job.service import JobService as AIOJobScheduler
    from chapkit.job.service import JobService as JobScheduler

_SCHEMAS = ("JobRecord", "JobStatus")
_SERVICES = ("AIOJobScheduler", "JobScheduler")

__all__ = ["AIOJobScheduler", "JobRecord", "JobScheduler", "JobStatus"]


def __getattr__(name: str) -> Any:
    # Lazy: the service brings SQLAlchemy along, which nobody needs who only imports the package.
    if name in _SCHEMAS:
        from chapkit.job import schemas

        return getattr(schemas, name)
    if name in _SERVICES:
        from chapkit.job.service import JobService

        return JobService
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

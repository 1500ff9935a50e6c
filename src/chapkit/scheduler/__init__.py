"""Schedules; and the names of the first release's scheduler, which stand for `JobService` and its schemas."""

from typing import TYPE_CHECKING, Any

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.job.schemas import JobRecord as JobRecord
    from chapkit.job.schemas import JobStatus as JobStatus
    from chapkit.job.service import JobService as AIOJobScheduler
    from chapkit.job.service import JobService as JobScheduler
    from chapkit.scheduler.cron import Cron as Cron
    from chapkit.scheduler.feature import ScheduleFeature as ScheduleFeature
    from chapkit.scheduler.interval import Interval as Interval
    from chapkit.scheduler.manager import ScheduleManager as ScheduleManager
    from chapkit.scheduler.models import Schedule as Schedule
    from chapkit.scheduler.models import ScheduleTick as ScheduleTick
    from chapkit.scheduler.once import Once as Once
    from chapkit.scheduler.policies import Missed as Missed
    from chapkit.scheduler.policies import Overlap as Overlap
    from chapkit.scheduler.schemas import ScheduleIn as ScheduleIn
    from chapkit.scheduler.schemas import ScheduleOut as ScheduleOut
    from chapkit.scheduler.schemas import ScheduleRun as ScheduleRun
    from chapkit.scheduler.trigger import Trigger as Trigger
    from chapkit.scheduler.words import explain as explain

_NAMES = {
    "Cron": "chapkit.scheduler.cron",
    "Interval": "chapkit.scheduler.interval",
    "JobRecord": "chapkit.job.schemas",
    "JobStatus": "chapkit.job.schemas",
    "Missed": "chapkit.scheduler.policies",
    "Once": "chapkit.scheduler.once",
    "Overlap": "chapkit.scheduler.policies",
    "Schedule": "chapkit.scheduler.models",
    "ScheduleFeature": "chapkit.scheduler.feature",
    "ScheduleIn": "chapkit.scheduler.schemas",
    "ScheduleManager": "chapkit.scheduler.manager",
    "ScheduleOut": "chapkit.scheduler.schemas",
    "ScheduleRun": "chapkit.scheduler.schemas",
    "ScheduleTick": "chapkit.scheduler.models",
    "Trigger": "chapkit.scheduler.trigger",
    "explain": "chapkit.scheduler.words",
}
_FORMER = ("AIOJobScheduler", "JobScheduler")

__all__ = [
    "AIOJobScheduler",
    "Cron",
    "Interval",
    "JobRecord",
    "JobScheduler",
    "JobStatus",
    "Missed",
    "Once",
    "Overlap",
    "Schedule",
    "ScheduleFeature",
    "ScheduleIn",
    "ScheduleManager",
    "ScheduleOut",
    "ScheduleRun",
    "ScheduleTick",
    "Trigger",
    "explain",
]
_load, _ = lazy_names(__name__, _NAMES)


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        # Lazy: the service brings SQLAlchemy along, which nobody needs who only imports the package.
        from chapkit.job.service import JobService

        return JobService
    return _load(name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Jobs: one execution of something, written down so that it survives the process."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.job.context import JobContext as JobContext
    from chapkit.job.current import RunningJob as RunningJob
    from chapkit.job.current import current_job as current_job
    from chapkit.job.errors import JobCanceledError as JobCanceledError
    from chapkit.job.errors import JobDesertedError as JobDesertedError
    from chapkit.job.errors import JobFailedError as JobFailedError
    from chapkit.job.errors import JobNotFoundError as JobNotFoundError
    from chapkit.job.errors import JobTimeoutError as JobTimeoutError
    from chapkit.job.errors import ProcessDiedError as ProcessDiedError
    from chapkit.job.executors.user_code import UserCode as UserCode
    from chapkit.job.feature import JobFeature as JobFeature
    from chapkit.job.policies import Retry as Retry
    from chapkit.job.ports import Executor as Executor
    from chapkit.job.ports import JobDispatcher as JobDispatcher
    from chapkit.job.ports import JobHandler as JobHandler
    from chapkit.job.ports import JobHandlers as JobHandlers
    from chapkit.job.ports import JobOutcome as JobOutcome
    from chapkit.job.retention import Retention as Retention
    from chapkit.job.router import JobRouter as JobRouter
    from chapkit.job.schemas import ChapkitJobRecord as ChapkitJobRecord
    from chapkit.job.schemas import JobAttemptRecord as JobAttemptRecord
    from chapkit.job.schemas import JobEventRecord as JobEventRecord
    from chapkit.job.schemas import JobRecord as JobRecord
    from chapkit.job.schemas import JobSpec as JobSpec
    from chapkit.job.schemas import JobStats as JobStats
    from chapkit.job.schemas import JobStatus as JobStatus
    from chapkit.job.service import JobService as JobService

_NAMES = {
    "ChapkitJobRecord": "chapkit.job.schemas",
    "Executor": "chapkit.job.ports",
    "JobAttemptRecord": "chapkit.job.schemas",
    "JobCanceledError": "chapkit.job.errors",
    "JobContext": "chapkit.job.context",
    "JobDesertedError": "chapkit.job.errors",
    "JobDispatcher": "chapkit.job.ports",
    "JobEventRecord": "chapkit.job.schemas",
    "JobFailedError": "chapkit.job.errors",
    "JobFeature": "chapkit.job.feature",
    "JobHandler": "chapkit.job.ports",
    "JobHandlers": "chapkit.job.ports",
    "JobNotFoundError": "chapkit.job.errors",
    "JobOutcome": "chapkit.job.ports",
    "JobRecord": "chapkit.job.schemas",
    "JobRouter": "chapkit.job.router",
    "JobService": "chapkit.job.service",
    "JobSpec": "chapkit.job.schemas",
    "JobStats": "chapkit.job.schemas",
    "JobStatus": "chapkit.job.schemas",
    "JobTimeoutError": "chapkit.job.errors",
    "ProcessDiedError": "chapkit.job.errors",
    "Retention": "chapkit.job.retention",
    "Retry": "chapkit.job.policies",
    "RunningJob": "chapkit.job.current",
    "UserCode": "chapkit.job.executors.user_code",
    "current_job": "chapkit.job.current",
}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

"""Jobs: one execution of something, written down so that it survives the process."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.job.commands import Command as Command
    from chapkit.job.commands import CommandResult as CommandResult
    from chapkit.job.commands import run_command as run_command
    from chapkit.job.context import JobContext as JobContext
    from chapkit.job.current import RunningJob as RunningJob
    from chapkit.job.current import current_job as current_job
    from chapkit.job.errors import JobCanceledError as JobCanceledError
    from chapkit.job.errors import JobDesertedError as JobDesertedError
    from chapkit.job.errors import JobFailedError as JobFailedError
    from chapkit.job.errors import JobNotFoundError as JobNotFoundError
    from chapkit.job.errors import JobTimeoutError as JobTimeoutError
    from chapkit.job.errors import ProcessDiedError as ProcessDiedError
    from chapkit.job.executors.limits import ProcessLimits as ProcessLimits
    from chapkit.job.executors.user_code import UserCode as UserCode
    from chapkit.job.feature import JobFeature as JobFeature
    from chapkit.job.options import JobOptions as JobOptions
    from chapkit.job.policies import Retry as Retry
    from chapkit.job.ports import Executor as Executor
    from chapkit.job.ports import JobDispatcher as JobDispatcher
    from chapkit.job.ports import JobHandler as JobHandler
    from chapkit.job.ports import JobHandlers as JobHandlers
    from chapkit.job.ports import JobOutcome as JobOutcome
    from chapkit.job.references import JobReferences as JobReferences
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
    from chapkit.job.targets import JobTarget as JobTarget
    from chapkit.job.targets import JobTargets as JobTargets

_NAMES = {
    "ChapkitJobRecord": "chapkit.job.schemas",
    "Command": "chapkit.job.commands",
    "CommandResult": "chapkit.job.commands",
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
    "JobOptions": "chapkit.job.options",
    "JobOutcome": "chapkit.job.ports",
    "JobRecord": "chapkit.job.schemas",
    "JobReferences": "chapkit.job.references",
    "JobRouter": "chapkit.job.router",
    "JobService": "chapkit.job.service",
    "JobSpec": "chapkit.job.schemas",
    "JobStats": "chapkit.job.schemas",
    "JobStatus": "chapkit.job.schemas",
    "JobTarget": "chapkit.job.targets",
    "JobTargets": "chapkit.job.targets",
    "JobTimeoutError": "chapkit.job.errors",
    "ProcessDiedError": "chapkit.job.errors",
    "ProcessLimits": "chapkit.job.executors.limits",
    "Retention": "chapkit.job.retention",
    "Retry": "chapkit.job.policies",
    "RunningJob": "chapkit.job.current",
    "UserCode": "chapkit.job.executors.user_code",
    "current_job": "chapkit.job.current",
    "run_command": "chapkit.job.commands",
}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

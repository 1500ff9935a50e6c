"""What the handlers of tasks have in common: the artifact that tells what came of a task."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from chapkit.artifact.coder import PreparedContent
from chapkit.artifact.manager import ArtifactManager
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.job.context import JobContext
from chapkit.job.ports import JobHandler
from chapkit.job.schemas import Revision
from chapkit.job.settled import change_job
from chapkit.task.errors import TaskParametersError
from chapkit.task.payloads import whole_payload
from chapkit.task.refusals import TaskRefusal
from chapkit.task.revision import revise_task
from chapkit.task.schemas import TASK_RESULT_TYPE
from chapkit.task.work import TaskWork, describe_work


class TaskHandler(JobHandler):
    """A handler of tasks; a failure leaves an artifact, too."""

    never: tuple[type[BaseException], ...] = (TaskRefusal, TaskParametersError)

    def __init__(self) -> None:
        self._works: WeakKeyDictionary[JobContext, TaskWork] = WeakKeyDictionary()

    async def revise(self, services: Services, stored: Revision, given: Mapping[str, Any]) -> Revision:
        """Return the execution with other parameters."""
        return await revise_task(services, stored, given)

    async def on_failure(self, scope: Scope, context: JobContext, error: BaseException) -> None:
        """Leave an artifact that says what went wrong."""
        work = self._works.get(context) or await describe_work(scope, await whole_payload(context))
        content = {"task": work.snapshot, **self.describe_failure(error)}
        prepared = await scope.get(ArtifactManager).prepare(content)
        artifact_id = await record_artifact(scope, context, prepared, {"status": "failed", **work.metadata})
        if context.artifact_id is None:
            await change_job(scope, context.job_id, artifact_id=artifact_id)

    def describe_failure(self, error: BaseException) -> dict[str, Any]:
        """Return what the artifact says of the failure."""
        raise NotImplementedError


async def record_artifact(
    scope: Scope,
    context: JobContext,
    prepared: PreparedContent,
    metadata: Mapping[str, Any],
    artifact_id: ULID | None = None,
) -> ULID:
    """Write the artifact of a task under the identifier that was handed out, if one was."""
    reach("task.before-record")
    artifact = await scope.get(ArtifactManager).record(
        prepared, type=TASK_RESULT_TYPE, metadata=metadata, id=artifact_id or context.artifact_id
    )
    return artifact.id

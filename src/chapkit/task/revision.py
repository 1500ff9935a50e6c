"""A task that is run again with other parameters."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from chapkit.artifact.storage import ContentStorage
from chapkit.core.errors import UnprocessableError
from chapkit.core.services import Services
from chapkit.job.revision import require_known
from chapkit.job.schemas import Revision
from chapkit.task.execution import Asked, TaskSubmitter
from chapkit.task.payloads import PARAMETERS, with_stored_parameters
from chapkit.task.refusals import TaskUnknownError
from chapkit.task.repository import TaskRepository


async def revise_task(services: Services, stored: Revision, given: Mapping[str, Any]) -> Revision:
    """Return the execution with other parameters, checked as those of a new one are.

    Raises:
        TaskUnknownError: The task is gone (`task-unknown`).
        ChapkitError: The task is not to be run, or not with these parameters.
    """
    require_known(given, (PARAMETERS,))
    parameters: Any = given.get(PARAMETERS)
    if not isinstance(parameters, Mapping | None):
        raise UnprocessableError(
            "The parameters of a task are an object", code="job-payload-invalid", field=f"payload.{PARAMETERS}"
        )
    asked = Asked(parameters=cast("Mapping[str, Any] | None", parameters))
    submitter = services.get(TaskSubmitter)
    if "function" in stored.payload:
        plan = submitter.plan_function(stored.payload["function"], asked)
    else:
        task_id = stored.payload["task_id"]
        async with services.scope.read() as scope:
            task = await TaskRepository(scope.session).find_stored(task_id)
        if task is None:
            raise TaskUnknownError(task_id)
        plan = submitter.plan(task, asked)
    spec = await with_stored_parameters(plan.spec, services.get(ContentStorage))
    return replace(stored, payload=spec.payload, blob=spec.payload_blob)

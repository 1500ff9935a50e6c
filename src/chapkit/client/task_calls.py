"""The calls that the tasks of a service understand."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from pydantic import TypeAdapter

from chapkit.client.calls import Call, encode, keyed, present, reader, segment
from chapkit.client.crud_calls import CrudCalls
from chapkit.job.options import JobOptions
from chapkit.task.schemas import (
    TaskCacheStats,
    TaskExecuteResponse,
    TaskFunctionOut,
    TaskInvalidateResponse,
    TaskOut,
)

PREFIX = "/api/v1/tasks"
ARTIFACTS = "/api/v1/artifacts"
Job: TypeAlias = JobOptions | Mapping[str, Any]
Parameters: TypeAlias = Mapping[str, Any]


class TaskCalls(CrudCalls[TaskOut]):
    """Calls to the tasks at `prefix`."""

    def __init__(self, prefix: str = PREFIX, artifacts: str = ARTIFACTS) -> None:
        super().__init__(prefix, TaskOut)
        self._artifacts = artifacts

    def execute(
        self, id: str, parameters: Mapping[str, Any] | None, job: Job | None, key: str | None
    ) -> Call[TaskExecuteResponse]:
        """Submit a task."""
        body = encode(present(parameters=parameters, job=_sparse(job)))
        return Call(
            "POST", self.path(id, "execute"), reader(TypeAdapter(TaskExecuteResponse)), content=body, headers=keyed(key)
        )

    def result(self, artifact_id: str) -> Call[Any]:
        """Read what a function returned, or what a command wrote."""
        read = reader(TypeAdapter(dict[str, Any]))
        path = f"{self._artifacts}/{segment(artifact_id)}"
        return Call("GET", path, lambda response: _result(read(response)["data"]["content"]))

    def functions(self) -> Call[list[TaskFunctionOut]]:
        """Read what tasks can call."""
        return Call("GET", f"{self.prefix}/$functions", reader(TypeAdapter(list[TaskFunctionOut])))

    def orphans(self) -> Call[list[TaskOut]]:
        """Read the tasks whose function is missing."""
        return Call("GET", f"{self.prefix}/$orphans", reader(TypeAdapter(list[TaskOut])))

    def cache(self) -> Call[TaskCacheStats]:
        """Read the numbers of kept results."""
        return Call("GET", f"{self.prefix}/$cache", reader(TypeAdapter(TaskCacheStats)))

    def invalidate(self, **criterion: Any) -> Call[TaskInvalidateResponse]:
        """Drop kept results."""
        answer = reader(TypeAdapter(TaskInvalidateResponse))
        return Call("POST", f"{self.prefix}/$invalidate", answer, content=encode(present(**criterion)))


def task_body(
    command: str,
    task_type: str,
    parameters: Mapping[str, Any] | None,
    enabled: bool,
    job: Job | None,
    id: str | None,
    tags: Sequence[str],
) -> dict[str, Any]:
    """Return a new task as it is sent."""
    optional = present(id=id, parameters=parameters, job=_sparse(job), tags=list(tags) or None)
    return {"command": command, "task_type": task_type, "enabled": enabled, **optional}


def _sparse(job: Job | None) -> Mapping[str, Any] | None:
    return job.model_dump(mode="json", exclude_none=True) if isinstance(job, JobOptions) else job


def _result(content: object) -> Any:
    # A frame, or a text, is the result itself.
    members = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    return members["result"] if "task" in members and "result" in members else cast("Any", content)

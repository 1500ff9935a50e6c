"""Tasks, seen from a client."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from chapkit.client.calls import Call, encode, present, reader, segment
from chapkit.client.crud_calls import CrudCalls
from chapkit.client.jobs import AsyncJobs, Jobs
from chapkit.client.resource import AsyncResource, Resource
from chapkit.client.transport import AsyncHttpTransport, HttpTransport
from chapkit.job.options import JobOptions
from chapkit.job.schemas import JobRecord
from chapkit.task.schemas import (
    TaskCacheStats,
    TaskExecuteResponse,
    TaskFunctionOut,
    TaskInvalidateResponse,
    TaskOut,
)

PREFIX = "/api/v1/tasks"
ARTIFACTS = "/api/v1/artifacts"
Job = JobOptions | Mapping[str, Any]


class TaskCalls(CrudCalls[TaskOut]):
    """Calls to the tasks at `prefix`."""

    def __init__(self, prefix: str = PREFIX, artifacts: str = ARTIFACTS) -> None:
        super().__init__(prefix, TaskOut)
        self._artifacts = artifacts

    def execute(
        self, id: str, parameters: Mapping[str, Any] | None, job: Job | None, key: str | None
    ) -> Call[TaskExecuteResponse]:
        """Submit a task."""
        headers = {} if key is None else {"Idempotency-Key": key}
        body = encode(present(parameters=parameters, job=_sparse(job)))
        return Call(
            "POST", self.path(id, "execute"), reader(TypeAdapter(TaskExecuteResponse)), content=body, headers=headers
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


class Tasks(Resource[TaskOut]):
    """The tasks of a service."""

    def __init__(self, transport: HttpTransport, jobs: Jobs, calls: TaskCalls | None = None) -> None:
        self._task_calls = calls or TaskCalls()
        self._jobs = jobs
        super().__init__(transport, self._task_calls)

    def create(
        self,
        command: str,
        *,
        task_type: str = "shell",
        parameters: Mapping[str, Any] | None = None,
        enabled: bool = True,
        job: Job | None = None,
        id: str | None = None,
        tags: Sequence[str] = (),
    ) -> TaskOut:
        """Store a new task: a text for the shell, or with `task_type="python"` the name of a registered function.

        Raises:
            Invalid: There is no such function, or the parameters do not fit it.
            Forbidden: The service runs no commands (`shell-tasks-off`).
        """
        body = _body(command, task_type, parameters, enabled, job, id, tags)
        return self.transport.send(self._task_calls.create(body))

    def execute(
        self,
        id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        job: Job | None = None,
        key: str | None = None,
    ) -> TaskExecuteResponse:
        """Submit a task and return at once.

        Args:
            id: The task.
            parameters: These take the place of the task's own ones, each by its name.
            job: How the job is run, if not as the task has it.
            key: Sent again with the same task and parameters, it returns the first job.

        Raises:
            Conflict: The task is disabled (`task-disabled`).
        """
        return self.transport.send(self._task_calls.execute(id, parameters, job, key))

    def run(
        self,
        id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        job: Job | None = None,
        timeout: float | None = None,
    ) -> JobRecord:
        """Submit a task and return its job when it has completed; `result` gets what came of it.

        Raises:
            JobFailed: The function raised, or the command ended with another exit code than 0.
            JobTimedOut: It still runs after `timeout` seconds.
        """
        return self._jobs.wait(self.execute(id, parameters, job=job).job_id, timeout)

    def result(self, artifact_id: str | None) -> Any:
        """Return what a function returned, or what a command wrote: `stdout`, `stderr` and `exit_code`."""
        return self.transport.send(self._task_calls.result(artifact_id or ""))

    def functions(self) -> Sequence[TaskFunctionOut]:
        """Return what tasks can call."""
        return self.transport.send(self._task_calls.functions())

    def orphans(self) -> Sequence[TaskOut]:
        """Return the tasks whose function is missing."""
        return self.transport.send(self._task_calls.orphans())

    def cache(self) -> TaskCacheStats:
        """Return the numbers of kept results."""
        return self.transport.send(self._task_calls.cache())

    def invalidate(
        self, *, tag: str | None = None, function: str | None = None, key: str | None = None, all: bool | None = None
    ) -> int:
        """Drop kept results by exactly one of these, and return how many."""
        call = self._task_calls.invalidate(tag=tag, function=function, key=key, all=all)
        return self.transport.send(call).dropped


class AsyncTasks(AsyncResource[TaskOut]):
    """The tasks of a service, to be awaited."""

    def __init__(self, transport: AsyncHttpTransport, jobs: AsyncJobs, calls: TaskCalls | None = None) -> None:
        self._task_calls = calls or TaskCalls()
        self._jobs = jobs
        super().__init__(transport, self._task_calls)

    async def create(
        self,
        command: str,
        *,
        task_type: str = "shell",
        parameters: Mapping[str, Any] | None = None,
        enabled: bool = True,
        job: Job | None = None,
        id: str | None = None,
        tags: Sequence[str] = (),
    ) -> TaskOut:
        """Store a new task: a text for the shell, or with `task_type="python"` the name of a registered function.

        Raises:
            Invalid: There is no such function, or the parameters do not fit it.
            Forbidden: The service runs no commands (`shell-tasks-off`).
        """
        body = _body(command, task_type, parameters, enabled, job, id, tags)
        return await self.transport.send(self._task_calls.create(body))

    async def execute(
        self,
        id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        job: Job | None = None,
        key: str | None = None,
    ) -> TaskExecuteResponse:
        """Submit a task and return at once.

        Args:
            id: The task.
            parameters: These take the place of the task's own ones, each by its name.
            job: How the job is run, if not as the task has it.
            key: Sent again with the same task and parameters, it returns the first job.

        Raises:
            Conflict: The task is disabled (`task-disabled`).
        """
        return await self.transport.send(self._task_calls.execute(id, parameters, job, key))

    async def run(
        self,
        id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        job: Job | None = None,
        timeout: float | None = None,
    ) -> JobRecord:
        """Submit a task and return its job when it has completed; `result` gets what came of it.

        Raises:
            JobFailed: The function raised, or the command ended with another exit code than 0.
            JobTimedOut: It still runs after `timeout` seconds.
        """
        submitted = await self.execute(id, parameters, job=job)
        return await self._jobs.wait(submitted.job_id, timeout)

    async def result(self, artifact_id: str | None) -> Any:
        """Return what a function returned, or what a command wrote: `stdout`, `stderr` and `exit_code`."""
        return await self.transport.send(self._task_calls.result(artifact_id or ""))

    async def functions(self) -> Sequence[TaskFunctionOut]:
        """Return what tasks can call."""
        return await self.transport.send(self._task_calls.functions())

    async def orphans(self) -> Sequence[TaskOut]:
        """Return the tasks whose function is missing."""
        return await self.transport.send(self._task_calls.orphans())

    async def cache(self) -> TaskCacheStats:
        """Return the numbers of kept results."""
        return await self.transport.send(self._task_calls.cache())

    async def invalidate(
        self, *, tag: str | None = None, function: str | None = None, key: str | None = None, all: bool | None = None
    ) -> int:
        """Drop kept results by exactly one of these, and return how many."""
        call = self._task_calls.invalidate(tag=tag, function=function, key=key, all=all)
        return (await self.transport.send(call)).dropped


def _body(
    command: str,
    task_type: str,
    parameters: Mapping[str, Any] | None,
    enabled: bool,
    job: Job | None,
    id: str | None,
    tags: Sequence[str],
) -> dict[str, Any]:
    optional = present(id=id, parameters=parameters, job=_sparse(job), tags=list(tags) or None)
    return {"command": command, "task_type": task_type, "enabled": enabled, **optional}


def _sparse(job: Job | None) -> Mapping[str, Any] | None:
    return job.model_dump(mode="json", exclude_none=True) if isinstance(job, JobOptions) else job


def _result(content: Any) -> Any:
    # A frame, or a text, is the result itself.
    if isinstance(content, dict) and "task" in content and "result" in content:
        return content["result"]  # pyright: ignore[reportUnknownVariableType]
    return content  # pyright: ignore[reportUnknownVariableType]

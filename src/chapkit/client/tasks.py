"""Tasks, seen from a client."""

from collections.abc import Mapping, Sequence
from typing import Any

from chapkit.client.jobs import AsyncJobs, Jobs
from chapkit.client.resource import AsyncResource, Resource
from chapkit.client.task_calls import Job, TaskCalls, task_body
from chapkit.client.transport import AsyncHttpTransport, HttpTransport
from chapkit.job.schemas import JobRecord
from chapkit.task.schemas import TaskCacheStats, TaskExecuteResponse, TaskFunctionOut, TaskOut


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
        body = task_body(command, task_type, parameters, enabled, job, id, tags)
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
        body = task_body(command, task_type, parameters, enabled, job, id, tags)
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

"""Submit tasks: checked first, answered with a kept result if there is one, else a job."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from chapkit.artifact.storage import ContentStorage
from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.job.claiming import DEFAULT_QUEUE
from chapkit.job.options import JobOptions
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import LONGEST_TIMEOUT, JobRecord, JobSpec, JobStatus
from chapkit.job.service import JobService
from chapkit.job.settled import settle, settle_alone
from chapkit.task.cache_counts import CacheCounts
from chapkit.task.functions import TaskFunction, TaskFunctions
from chapkit.task.payloads import with_stored_parameters
from chapkit.task.refusals import ShellTasksOffError, TaskDisabledError, TaskUnknownError
from chapkit.task.repository import TaskRepository
from chapkit.task.results import Kept, TaskResults
from chapkit.task.schemas import PYTHON, SHELL
from chapkit.task.stored import StoredTask

PYTHON_HANDLER = "task.python"
SHELL_HANDLER = "task.shell"
COMMAND_LIMIT = "command_timeout"
"""Label of the seconds that a command may take."""
CACHE_KEYS = "cache:"
"""What the keys begin with under which equal calls run one after the other."""
COMMAND_GRACE = 5.0625
"""Seconds after its time limit in which a command is killed and what it wrote is read; then the job itself is late.

No round number, so that nobody takes the limit which a schedule has set later for one with this on top.
"""
_KIND = "task"
_SHOWN_COMMAND = 80


@dataclass(frozen=True)
class Asked:
    """What a caller wants of one execution."""

    parameters: Mapping[str, Any] | None = None
    """These take the place of the task's own ones, each by its name."""
    options: JobOptions | None = None
    key: str | None = None
    """A repeated execution with the same key returns the first job."""
    fingerprint: str | None = None


@dataclass(frozen=True)
class Plan:
    """A job that is ready to be submitted."""

    spec: JobSpec
    kept: Kept | None = None
    """Which kept result would do as well."""
    artifact_id: ULID | None = None
    """Where that is, if there is one."""


@dataclass(frozen=True)
class Submitted:
    """An accepted execution."""

    job: JobRecord
    cache: Literal["hit", "miss"] | None = None


class TaskSubmitter:
    """Turns tasks into jobs."""

    def __init__(
        self, services: Services, functions: TaskFunctions, counts: CacheCounts, *, allow_shell: bool = False
    ) -> None:
        self._services = services
        self._functions = functions
        self._counts = counts
        self.allow_shell = allow_shell

    def check(self, command: str, task_type: str, parameters: Mapping[str, Any] | None) -> None:
        """Go on, if the service could run such a task.

        Raises:
            ShellTasksOffError: It runs no commands (`shell-tasks-off`).
            CommandUnknownError: It has no such function (`task-function-unknown`).
            TaskParametersError: The parameters do not fit the function (`task-parameters-invalid`).
        """
        if task_type == PYTHON:
            self._functions.require(command).complete(parameters or {})
        elif not self.allow_shell:
            raise ShellTasksOffError

    def check_queue(self, queue: str) -> None:
        """Go on, if the service has such a queue.

        Raises:
            UnprocessableError: It has not (`job-queue-unknown`).
        """
        self._services.get(JobService).require_queue(queue, "job.queue")

    async def execute(self, task_id: ULID, asked: Asked) -> Submitted:
        """Submit a task in units of work of its own.

        Raises:
            TaskUnknownError: There is no such task (`task-unknown`).
            TaskDisabledError: It is not to be run (`task-disabled`).
        """
        try:
            plan = await self._with_parameters(await self._prepare(task_id, asked))
        except ChapkitError:
            # What an equal request was accepted with may be gone by now.
            first = await self._find_first(task_id, asked)
            if first is None:
                raise
            return Submitted(first)
        if plan.kept is not None and plan.artifact_id is not None:
            job = await settle_alone(_hit(plan.spec, plan.artifact_id), self._services)
            if job is not None:
                self._counts.add(plan.kept.function, "hits")
                return Submitted(job, "hit")
        async with self._services.scope.write() as scope:
            return await self._submit(plan, scope)

    async def _prepare(self, task_id: ULID, asked: Asked) -> Plan:
        # Reading apart, as what is read here holds up nobody who writes.
        async with self._services.scope.read() as scope:
            task = await TaskRepository(scope.session).find_stored(task_id)
            if task is None:
                raise TaskUnknownError(task_id)
            return await self._with_result(self.plan(task, asked), scope)

    async def _find_first(self, task_id: ULID, asked: Asked) -> JobRecord | None:
        if asked.key is None:
            return None
        jobs = self._services.get(JobService)
        return await jobs.find_submitted(_key(task_id, asked.key), asked.fingerprint, asked.key)

    async def submit(self, plan: Plan, scope: Scope) -> Submitted:
        """Submit a plan in the caller's unit of work."""
        return await self._submit(await self._with_result(await self._with_parameters(plan), scope), scope)

    def plan(self, task: StoredTask, asked: Asked) -> Plan:
        """Return the job of a task.

        Raises:
            TaskDisabledError: It is not to be run (`task-disabled`).
            ChapkitError: The service could not run it; see `check`.
        """
        if not task.enabled:
            raise TaskDisabledError(task.id, task.disabled_reason, is_orphan=task.is_orphan)
        own = None if task.job is None else JobOptions.model_validate(task.job)
        payload: dict[str, Any] = {"task_id": task.id}
        if asked.parameters is not None:
            payload["parameters"] = dict(asked.parameters)
        if task.task_type == PYTHON:
            function = self._functions.require(task.command)
            parameters = {**(task.parameters or {}), **(asked.parameters or {})}
            return self._plan_call(function, parameters, payload, asked, own)
        if not self.allow_shell:
            raise ShellTasksOffError
        spec = JobSpec(
            handler=SHELL_HANDLER,
            payload=payload,
            labels={"kind": _KIND, "name": task.command[:_SHOWN_COMMAND], "task_id": task.id},
            artifact_id=ULID(),
            **_identity(SHELL, task.id, asked),
        )
        spec = _with_options(spec, own, asked.options)
        if spec.timeout is None:
            return Plan(spec)
        labels = {**spec.labels, COMMAND_LIMIT: spec.timeout}
        return Plan(replace(spec, timeout=attempt_limit(spec.timeout), labels=labels))

    def plan_function(self, name: str, asked: Asked) -> Plan:
        """Return the job that calls a function which no task stands for.

        Raises:
            CommandUnknownError: There is no such function (`task-function-unknown`).
            TaskParametersError: The parameters do not fit it (`task-parameters-invalid`).
        """
        parameters = dict(asked.parameters or {})
        payload = {"function": name, "parameters": parameters}
        return self._plan_call(self._functions.require(name), parameters, payload, asked, None)

    def _plan_call(
        self,
        function: TaskFunction,
        parameters: Mapping[str, Any],
        payload: dict[str, Any],
        asked: Asked,
        own: JobOptions | None,
    ) -> Plan:
        declared = function.declaration
        kept = function.kept(function.complete(parameters))
        labels = {
            "kind": _KIND,
            "name": declared.name,
            "function": declared.name,
            "code_version": declared.code_version,
            **({"task_id": payload["task_id"]} if "task_id" in payload else {}),
        }
        spec = JobSpec(
            handler=PYTHON_HANDLER,
            payload=payload,
            labels=labels,
            queue=declared.queue or DEFAULT_QUEUE,
            retry=declared.retry,
            timeout=declared.timeout,
            # An equal call may bring the result, under an identifier that nobody knows yet.
            artifact_id=ULID() if kept is None else None,
            # Equal calls one after the other, so that the first one's result does for the others.
            concurrency_key=None if kept is None else f"{CACHE_KEYS}{kept.key}",
            **_identity(declared.name, payload.get("task_id"), asked),
        )
        return Plan(_with_options(spec, own, asked.options), kept)

    async def _with_parameters(self, plan: Plan) -> Plan:
        return replace(plan, spec=await with_stored_parameters(plan.spec, self._services.get(ContentStorage)))

    async def _with_result(self, plan: Plan, scope: Scope) -> Plan:
        if plan.kept is None:
            return plan
        found = await TaskResults(scope.session, self._services.get(JobRuntime).clock.now).find(plan.kept.key)
        return plan if found is None or found.is_stale else replace(plan, artifact_id=found.artifact_id)

    async def _submit(self, plan: Plan, scope: Scope) -> Submitted:
        if plan.kept is None or plan.artifact_id is None:
            job = await self._services.get(JobService).submit(plan.spec, scope)
        else:
            spec = _hit(plan.spec, plan.artifact_id)
            job = await settle(spec, scope)
            # Not that of an earlier request with the same key.
            if job.id == spec.id:
                self._counts.add(plan.kept.function, "hits")
        if plan.kept is None:
            return Submitted(job)
        was_run = job.attempt > 0 or job.status is not JobStatus.COMPLETED
        return Submitted(job, "miss" if was_run else "hit")


def attempt_limit(timeout: float) -> float:
    """Return what an attempt may take whose command may take `timeout` seconds."""
    return min(timeout + COMMAND_GRACE, LONGEST_TIMEOUT)


def _hit(spec: JobSpec, artifact_id: ULID) -> JobSpec:
    return replace(spec, id=ULID(), labels={**spec.labels, "cache": "hit"}, artifact_id=artifact_id)


def _key(what: str, key: str) -> str:
    return f"task:{what}:{key}"


def _identity(what: str, task_id: str | None, asked: Asked) -> dict[str, Any]:
    key = None if asked.key is None else _key(task_id or what, asked.key)
    return {"key": key, "sent_key": asked.key, "fingerprint": asked.fingerprint}


def _with_options(spec: JobSpec, *given: JobOptions | None) -> JobSpec:
    for options in given:
        spec = spec if options is None else options.apply(spec)
    return spec

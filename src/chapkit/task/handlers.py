"""Registered functions as jobs: load, call without a transaction, record in one."""

from dataclasses import replace
from typing import Any, ClassVar

from anyio.to_thread import run_sync

from chapkit.artifact.codecs import is_frame
from chapkit.artifact.coder import PreparedContent
from chapkit.artifact.json_codec import is_builtin, is_small
from chapkit.artifact.storage import ContentStorage
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.context import JobContext
from chapkit.job.held import hold, was_held
from chapkit.job.ports import JobOutcome
from chapkit.job.runtime import JobRuntime
from chapkit.job.settled import change_job
from chapkit.job.statements import CODE_HELD
from chapkit.task.cache_counts import CacheCounts
from chapkit.task.errors import ValueNotSerializableError
from chapkit.task.execution import PYTHON_HANDLER
from chapkit.task.functions import TaskFunction, TaskFunctions
from chapkit.task.payloads import whole_payload
from chapkit.task.recording import TaskHandler, record_artifact
from chapkit.task.refusals import ResultNotStorableError, TaskCodeChangedError, TaskTypeChangedError
from chapkit.task.results import Found, Kept, TaskResults
from chapkit.task.schemas import PYTHON
from chapkit.task.work import TaskWork, describe_error, load_work


class PythonTaskHandler(TaskHandler):
    """Calls the function of a task."""

    name: ClassVar[str] = PYTHON_HANDLER

    def __init__(self, functions: TaskFunctions, counts: CacheCounts) -> None:
        super().__init__()
        self._functions = functions
        self._counts = counts

    async def execute(self, context: JobContext) -> JobOutcome:
        """Call the function with the parameters of the task and keep what it returns."""
        payload = await whole_payload(context)
        async with context.scope.read() as scope:
            work = await load_work(scope, payload)
        self._works[context] = work
        if work.task_type != PYTHON:
            raise TaskTypeChangedError(work.task_type)
        function = self._functions.require(work.command)
        declared = function.declaration
        work = replace(work, more={"function": declared.name, "code_version": declared.code_version})
        self._works[context] = work
        await self._check_code(context, function)
        kept = function.kept(function.complete(work.parameters or {}))
        if kept is not None and (found := await self._find(context, kept)) is not None:
            return self._answered(context, kept, found)
        value = await function.bound.call(context, work.parameters)
        prepared = await self._prepare(context, function, work, value)
        artifact_id = context.artifact_id or ULID()
        return JobOutcome(
            record=lambda scope: self._record(scope, context, prepared, work, kept, artifact_id),
            artifact_id=artifact_id,
        )

    def describe_failure(self, error: BaseException) -> dict[str, Any]:
        """Return what the artifact says of the failure."""
        return {"result": None, "error": describe_error(error)}

    async def _check_code(self, context: JobContext, function: TaskFunction) -> None:
        declared = function.declaration
        if context.labels.get("function") != declared.name:
            # The task calls another function than when it was submitted, which is none that has changed.
            return
        before = str(context.labels.get("code_version", declared.code_version))
        if before == declared.code_version or declared.on_code_change == "run":
            return
        changed = TaskCodeChangedError(declared.name, before, declared.code_version)
        if await was_held(context, CODE_HELD) or await was_held(context, changed.code):
            # Whoever lets such a job run again means the code of now, in further attempts as well.
            async with context.scope.write() as scope:
                labels = {**context.labels, "code_version": declared.code_version}
                await change_job(scope, context.job_id, labels=labels)
            return
        if declared.on_code_change == "fail":
            raise changed
        await hold(context, CODE_HELD, _held_because(declared.name, before, declared.code_version))

    async def _find(self, context: JobContext, kept: Kept) -> Found | None:
        clock = context.services.get(JobRuntime).clock
        async with context.scope.read() as scope:
            found = await TaskResults(scope.session, clock.now).find(kept.key)
        if found is not None and not found.is_stale:
            self._counts.add(kept.function, "hits")
            return found
        self._counts.add(kept.function, "misses")
        if found is not None:
            self._counts.add(kept.function, "stale")
        return None

    def _answered(self, context: JobContext, kept: Kept, found: Found) -> JobOutcome:
        async def record(scope: Scope) -> dict[str, Any]:
            await change_job(scope, context.job_id, labels={**context.labels, "cache": "hit"})
            return {"artifact_id": found.artifact_id, "cache": "hit"}

        context.log(f"An equal call of {kept.function} has brought the result meanwhile")
        return JobOutcome(record=record, artifact_id=found.artifact_id)

    async def _prepare(
        self, context: JobContext, function: TaskFunction, work: TaskWork, value: Any
    ) -> PreparedContent:
        coder = context.services.get(ContentStorage).coder
        if isinstance(value, bytes | bytearray | memoryview) or (not is_builtin(value) and is_frame(value)):
            return await coder.prepare(value)
        try:
            write = self._functions.serializers.to_json
            result = write(value, "result") if is_small(value) else await run_sync(write, value, "result")
        except ValueNotSerializableError as error:
            raise ResultNotStorableError(function.declaration.name, error.extensions["found"]) from error
        return await coder.prepare({"task": work.snapshot, "result": result, "error": None})

    async def _record(
        self,
        scope: Scope,
        context: JobContext,
        prepared: PreparedContent,
        work: TaskWork,
        kept: Kept | None,
        artifact_id: ULID,
    ) -> dict[str, Any]:
        metadata = {"status": "success", **work.metadata}
        await record_artifact(scope, context, prepared, metadata, artifact_id)
        if kept is not None:
            await TaskResults(scope.session, context.services.get(JobRuntime).clock.now).keep(kept, artifact_id)
        return {"artifact_id": artifact_id}


def _held_because(function: str, before: str, now: str) -> str:
    return (
        f"The code of {function} has changed since the job was submitted (from {before} to {now}), so it waits: "
        "for a start of the service with the former code, or for somebody to cancel it, or to run it with the new "
        "code by POST $retry"
    )

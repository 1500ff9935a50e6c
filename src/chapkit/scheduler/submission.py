"""A tick becomes a job: prepared outside of any transaction that writes, submitted inside of one."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from chapkit.core.clock import to_text
from chapkit.core.database_errors import translate
from chapkit.core.error_text import name_and_text
from chapkit.core.errors import ChapkitError, StorageFullError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.services import Scope, Services
from chapkit.job.ledger import JobLedger
from chapkit.job.options import JobOptions
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobRecord, JobSpec, JobStatus
from chapkit.job.service import JobService
from chapkit.job.targets import JobTargets
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.policies import Missed, Overlap, jittered
from chapkit.scheduler.schemas import TickOutcome, TickSource
from chapkit.task.execution import CACHE_KEYS

_MOST_SAID = 1000


@dataclass(frozen=True)
class Verdict:
    """What became of a tick."""

    outcome: TickOutcome
    reason: str | None = None
    job_id: ULID | None = None

    def row(self, schedule_id: ULID, moment: datetime, source: TickSource, now: datetime) -> dict[str, Any]:
        """Return the tick as it is written down."""
        return {
            "schedule_id": schedule_id,
            "scheduled_for": moment,
            "source": source.value,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "job_id": self.job_id,
            "created_at": now,
        }


Prepared: TypeAlias = JobSpec | Verdict
"""The job of a tick, or why there can be none."""


class TickJobs:
    """Submits the jobs of schedules, and stops them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def prepare(
        self, scope: Scope, schedule: Schedule, moment: datetime, source: TickSource, key: str | None = None
    ) -> JobSpec:
        """Return the job of a tick, or of what somebody asked for under a key of his own.

        Not inside of a transaction that writes: a target may read for long, or store a large payload first.

        Raises:
            ChapkitError: The target cannot do it.
        """
        spec = await self._services.get(JobTargets).get(schedule.target).spec(scope, schedule.arguments)
        if schedule.job is not None:
            spec = JobOptions.model_validate(schedule.job).apply(spec)
        return _completed(spec, schedule, moment, source, key)

    async def find_first(self, schedule_id: ULID, key: str) -> JobRecord | None:
        """Return the job that somebody has asked for under this key, or `None`."""
        full_key = _key_of_now(schedule_id, key)
        return await self._services.get(JobService).find_submitted(full_key, _fingerprint(full_key), key)

    async def try_prepare(self, scope: Scope, schedule: Schedule, moment: datetime, source: TickSource) -> Prepared:
        """Return the job of a tick, or why there can be none.

        Raises:
            UnavailableError: It is not the tick's fault, so it has to be tried again.
        """
        try:
            return await self.prepare(scope, schedule, moment, source)
        except Exception as error:
            return Verdict(TickOutcome.FAILED, _reason(error, schedule))

    async def submit(self, scope: Scope, spec: JobSpec) -> JobRecord:
        """Submit a prepared job in the caller's transaction."""
        return await self._services.get(JobService).submit(spec, scope)

    async def try_submit(self, scope: Scope, schedule: Schedule, prepared: Prepared) -> Verdict:
        """Submit the job of a tick; where that cannot be, nothing of it is kept but the reason.

        Raises:
            UnavailableError: The database, or the service, does not take it now; it has to be tried again.
        """
        if isinstance(prepared, Verdict):
            return prepared
        try:
            async with scope.savepoint():
                job = await self.submit(scope, prepared)
        except Exception as error:
            return Verdict(TickOutcome.FAILED, _reason(error, schedule))
        return Verdict(TickOutcome.SUBMITTED, job_id=job.id)

    async def request_cancel(self, scope: Scope, job_id: ULID) -> None:
        """Ask a job to stop, if it has not ended."""
        runtime = self._services.get(JobRuntime)
        row = await JobLedger(scope.session, runtime.clock.now()).request_cancel(job_id)
        if row is None:
            return
        scope.after_commit(lambda: runtime.hub.changed(job_id))
        if row["status"] == JobStatus.RUNNING:
            scope.after_commit(lambda: runtime.dispatcher.cancel_requested(job_id))


def _key_of_now(schedule_id: ULID, key: str) -> str:
    return f"schedule:{schedule_id}:now:{key}"


def _fingerprint(full_key: str) -> str:
    return hashlib.sha256(full_key.encode()).hexdigest()


def _completed(spec: JobSpec, schedule: Schedule, moment: datetime, source: TickSource, key: str | None) -> JobSpec:
    name = f"schedule:{schedule.id}"
    scheduled_for = to_text(moment)
    if source is TickSource.MANUAL:
        full_key = None if key is None else _key_of_now(schedule.id, key)
    else:
        full_key = f"{name}:{scheduled_for}"
    more: dict[str, Any] = {}
    if _takes_turns(schedule, spec):
        more = {"concurrency_key": name, "concurrency_limit": 1}
    if source is TickSource.TRIGGER and schedule.jitter:
        more["run_after"] = jittered(moment, schedule.jitter, schedule.id)
    return replace(
        spec,
        id=spec.id or ULID(),
        labels={**spec.labels, "schedule_id": str(schedule.id), "scheduled_for": scheduled_for},
        key=full_key,
        sent_key=key,
        # The tick alone says which job it is: what the schedule submits may have been changed since.
        fingerprint=None if full_key is None else _fingerprint(full_key),
        **more,
    )


def _takes_turns(schedule: Schedule, spec: JobSpec) -> bool:
    """Tell whether its jobs run one at a time, under a key of the schedule."""
    if schedule.overlap == Overlap.SKIP:
        return spec.concurrency_key is None and Missed.from_wire(schedule.missed).wants_all
    return schedule.overlap in (Overlap.QUEUE, Overlap.REPLACE) and not _take_turns_anyway(spec)


def _take_turns_anyway(spec: JobSpec) -> bool:
    """Tell whether they run one at a time under a key that all of them have: that of their task."""
    key = spec.concurrency_key
    # The key of a call whose result is kept may be another one at each tick.
    return key is not None and spec.concurrency_limit == 1 and not key.startswith(CACHE_KEYS)


def _reason(error: Exception, schedule: Schedule) -> str:
    """Return why a tick has no job.

    Raises:
        UnavailableError: It is not the tick's fault, so it has to be tried again.
        StorageFullError: There is no room to write anything down.
    """
    if isinstance(error, SQLAlchemyError):
        error = translate(error)
    if isinstance(error, UnavailableError | StorageFullError | ConnectionError):
        raise error
    if isinstance(error, ChapkitError):
        return f"{error.detail} ({error.code})"[:_MOST_SAID]
    get_logger("chapkit.scheduler").error(
        "schedule.target_failed", schedule_id=schedule.id, target=schedule.target, exc_info=error
    )
    return name_and_text(error)[:_MOST_SAID]

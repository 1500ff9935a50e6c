"""The statements of a job's life, built once: building one costs more than carrying it out.

Parameters begin with `p_`, apart from the names of columns.
"""

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Insert,
    Select,
    Update,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from chapkit.core.columns import UtcDateTime
from chapkit.job.rows import ATTEMPTS, EVENTS, JOBS, WIRE
from chapkit.job.schemas import JobStatus

# Plain text: a driver may write an enumeration by its name.
PENDING, RUNNING = JobStatus.PENDING.value, JobStatus.RUNNING.value
CANCELED, FAILED = JobStatus.CANCELED.value, JobStatus.FAILED.value
NOT_DURABLE = "job-not-durable"
_NOT_DURABLE_TEXT = "The process that the job belonged to has ended, and the job cannot move to another one"


def _param(name: str, column: ColumnElement[Any]) -> BindParameter[Any]:
    return bindparam(f"p_{name}", type_=column.type)


_NOW: BindParameter[Any] = bindparam("p_now", type_=UtcDateTime())
_IS_JOB = JOBS.c.id == _param("job_id", JOBS.c.id)
_NOT_ASKED = JOBS.c.cancel_requested == false()
_FENCE = (
    _IS_JOB,
    JOBS.c.attempt == _param("attempt", JOBS.c.attempt),
    JOBS.c.owner == _param("owner", JOBS.c.owner),
    JOBS.c.status == RUNNING,
)

INSERT_JOB: Insert = insert(JOBS)
INSERT_JOB_ON_SQLITE = sqlite.insert(JOBS).on_conflict_do_nothing(index_elements=["key"]).returning(JOBS.c.id)
INSERT_JOB_ON_POSTGRESQL = postgresql.insert(JOBS).on_conflict_do_nothing(index_elements=["key"]).returning(JOBS.c.id)
"""No row comes back where another job has the key."""

INSERT_ATTEMPT: Insert = insert(ATTEMPTS)
INSERT_FIRST_EVENT: Insert = insert(EVENTS)
INSERT_EVENT: Insert = insert(EVENTS).values(
    job_id=_param("job_id", EVENTS.c.job_id),
    number=select(func.coalesce(func.max(EVENTS.c.number), 0) + 1)
    .where(EVENTS.c.job_id == _param("job_id", EVENTS.c.job_id))
    .scalar_subquery(),
    kind=_param("kind", EVENTS.c.kind),
    data=_param("data", EVENTS.c.data),
    created_at=_NOW,
)

CLAIMABLE: tuple[ColumnElement[bool], ...] = (
    JOBS.c.status == PENDING,
    JOBS.c.queue == _param("queue", JOBS.c.queue),
    JOBS.c.handler.in_(bindparam("p_handlers", expanding=True)),
    JOBS.c.run_after <= _NOW,
    _NOT_ASKED,
    or_(JOBS.c.durable, JOBS.c.owner == _param("owner", JOBS.c.owner)),
)
FIND_CLAIMABLE: Select[Any] = select(JOBS.c.id).where(*CLAIMABLE).limit(1)
CLAIM = (
    update(JOBS)
    .where(
        JOBS.c.id
        == select(JOBS.c.id)
        .where(*CLAIMABLE)
        .order_by(JOBS.c.priority.desc(), JOBS.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    .values(
        status=RUNNING,
        owner=_param("owner", JOBS.c.owner),
        attempt=JOBS.c.attempt + 1,
        lease_until=_param("lease_until", JOBS.c.lease_until),
        started_at=func.coalesce(JOBS.c.started_at, _NOW),
    )
    .returning(*WIRE, JOBS.c.handler, JOBS.c.payload, JOBS.c.payload_blob, JOBS.c.labels)
)

REPORT = (
    update(JOBS)
    .where(*_FENCE)
    .values(progress=func.coalesce(_param("progress", JOBS.c.progress), JOBS.c.progress))
    .returning(*WIRE)
)
FINISH = (
    update(JOBS)
    .where(*_FENCE, JOBS.c.cancel_requested == _param("asked", JOBS.c.cancel_requested))
    .values(
        status=_param("status", JOBS.c.status),
        finished_at=_NOW,
        owner=null(),
        lease_until=null(),
        error=_param("error", JOBS.c.error),
        error_code=_param("error_code", JOBS.c.error_code),
        error_traceback=_param("error_traceback", JOBS.c.error_traceback),
        artifact_id=func.coalesce(_param("artifact_id", JOBS.c.artifact_id), JOBS.c.artifact_id),
        progress=func.coalesce(_param("progress", JOBS.c.progress), JOBS.c.progress),
    )
    .returning(*WIRE)
)
END_ATTEMPT: Update = (
    update(ATTEMPTS)
    .where(ATTEMPTS.c.job_id == _param("job_id", ATTEMPTS.c.job_id), ATTEMPTS.c.finished_at.is_(None))
    .values(
        finished_at=_NOW,
        outcome=_param("outcome", ATTEMPTS.c.outcome),
        error=_param("error", ATTEMPTS.c.error),
        error_traceback=_param("error_traceback", ATTEMPTS.c.error_traceback),
    )
)
STORE_RESULT: Update = update(JOBS).where(_IS_JOB).values(result=_param("result", JOBS.c.result))

_WAITS = JOBS.c.status == PENDING
REQUEST_CANCEL = (
    update(JOBS)
    .where(_IS_JOB, JOBS.c.status.in_((PENDING, RUNNING)), _NOT_ASKED)
    .values(
        status=case((_WAITS, CANCELED), else_=JOBS.c.status),
        finished_at=case((_WAITS, _NOW), else_=null()),
        cancel_requested=True,
    )
    .returning(*WIRE)
)

_STAYS = and_(JOBS.c.durable, _NOT_ASKED)
_LOST = and_(JOBS.c.durable == false(), _NOT_ASKED)
GIVE_BACK = (
    update(JOBS)
    .where(or_(JOBS.c.status == RUNNING, and_(JOBS.c.status == PENDING, _LOST)))
    .values(
        status=case((JOBS.c.cancel_requested, CANCELED), (_LOST, FAILED), else_=PENDING),
        finished_at=case((_STAYS, null()), else_=_NOW),
        error=case((_LOST, _NOT_DURABLE_TEXT), else_=null()),
        error_code=case((_LOST, NOT_DURABLE), else_=null()),
        owner=null(),
        lease_until=null(),
    )
    .returning(*WIRE)
)
"""The caller says whose."""

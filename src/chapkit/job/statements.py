"""The statements of a job's life, built once: building one costs more than carrying it out.

Parameters begin with `p_`, apart from the names of columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    null,
    or_,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from chapkit.core.columns import UtcDateTime
from chapkit.core.direct import Direct
from chapkit.core.quick import Prepared
from chapkit.job.rows import ATTEMPTS, EVENTS, JOBS, WIRE
from chapkit.job.schemas import JobStatus

# Plain text: a driver may write an enumeration by its name.
PENDING, RUNNING = JobStatus.PENDING.value, JobStatus.RUNNING.value
CANCELED, FAILED = JobStatus.CANCELED.value, JobStatus.FAILED.value
NOT_DURABLE = "job-not-durable"
CODE_HELD = "task-code-held"
"""Why a job waits whose function has changed; it is released by hand, or by a service with the former code."""
QUEUE_TIMEOUT, DEADLINE_PASSED = "job-queue-timeout", "job-deadline-passed"
_NOT_DURABLE_TEXT = "The process that the job belonged to has ended, and the job cannot move to another one"
_QUEUE_TIMEOUT_TEXT = "The job did not start within the time that it may wait"
_DEADLINE_TEXT = "The job had not ended when all of its time was over"
SUSPICIONS_BEFORE_WAIT = 5
"""Deaths of the service in a row after which a job that ran each time comes back with a pause."""


def _param(name: str, column: ColumnElement[Any]) -> BindParameter[Any]:
    return bindparam(f"p_{name}", type_=column.type)


_NOW: BindParameter[Any] = bindparam("p_now", type_=UtcDateTime())
_IS_JOB = JOBS.c.id == _param("job_id", JOBS.c.id)
_NOT_ASKED = JOBS.c.cancel_requested == false()
_WAITS = JOBS.c.status == PENDING
_WAITS_AT_ALL = func.coalesce(JOBS.c.status, "") == PENDING
"""Keeps SQLite from walking through all that waits, where an index of moments leads to the few that matter."""
_IS_HELD = and_(_WAITS, JOBS.c.error_code == CODE_HELD)
_FENCE = (
    _IS_JOB,
    JOBS.c.attempt == _param("attempt", JOBS.c.attempt),
    JOBS.c.owner == _param("owner", JOBS.c.owner),
    JOBS.c.status == RUNNING,
)
_COUNTED: ColumnElement[Any] = JOBS.c.events + 1
_ATTEMPT = (type_coerce(JOBS.c.attempt_started_at, Text).label("attempt_started_at"), JOBS.c.events)
_RELEASED: dict[str, Any] = {"owner": null(), "lease_until": null()}
_ERROR: dict[str, Any] = {name: _param(name, JOBS.c[name]) for name in ("error", "error_code", "error_traceback")}

INSERT_JOB = Direct(insert(JOBS))
INSERT_KEYED_ON_SQLITE = Direct(sqlite.insert(JOBS).on_conflict_do_nothing(index_elements=["key"]).returning(JOBS.c.id))
INSERT_KEYED_ON_POSTGRESQL = Direct(
    postgresql.insert(JOBS).on_conflict_do_nothing(index_elements=["key"]).returning(JOBS.c.id)
)
"""No row comes back where another job has the key."""
INSERT_ATTEMPT = Direct(insert(ATTEMPTS))
INSERT_EVENT = Direct(insert(EVENTS))

_OTHER = JOBS.alias("other")
_KEY_IS_FREE = or_(
    JOBS.c.concurrency_key.is_(None),
    select(func.count())
    .select_from(_OTHER)
    .where(_OTHER.c.status == RUNNING, _OTHER.c.concurrency_key == JOBS.c.concurrency_key)
    .scalar_subquery()
    < JOBS.c.concurrency_limit,
)


@dataclass(frozen=True)
class ClaimStatements:
    """What a process asks that can do the jobs of certain handlers."""

    candidates: Direct
    """The next jobs in order, locked on PostgreSQL."""
    first: Prepared
    """One job that could be taken, if there is any."""

    @classmethod
    def of(cls, handlers: Sequence[str]) -> "ClaimStatements":
        """Build the statements for jobs of these handlers."""
        claimable = (
            _WAITS,
            JOBS.c.queue == _param("queue", JOBS.c.queue),
            # Not IN, whose values would be spelled out anew at each call.
            or_(false(), *(JOBS.c.handler == handler for handler in handlers)),
            JOBS.c.run_after <= _NOW,
            or_(JOBS.c.expires_at.is_(None), JOBS.c.expires_at > _NOW),
            _NOT_ASKED,
            or_(JOBS.c.durable == true(), JOBS.c.owner == _param("owner", JOBS.c.owner)),
            or_(bindparam("p_suspects", type_=Boolean()) == true(), JOBS.c.suspicions == 0),
            _KEY_IS_FREE,
        )
        columns = (JOBS.c.id, JOBS.c.concurrency_key, JOBS.c.concurrency_limit, JOBS.c.suspicions)
        ordered = select(*columns).where(*claimable).order_by(JOBS.c.priority.desc(), JOBS.c.id)
        limited = ordered.limit(bindparam("p_limit", type_=Integer()))
        return cls(
            Direct(limited.with_for_update(skip_locked=True, of=JOBS)),
            Prepared(select(JOBS.c.id).where(*claimable).limit(1)),
        )


TAKE = Direct(
    update(JOBS)
    .where(_IS_JOB, _WAITS)
    .values(
        status=RUNNING,
        owner=_param("owner", JOBS.c.owner),
        attempt=JOBS.c.attempt + 1,
        lease_until=_param("lease_until", JOBS.c.lease_until),
        started_at=func.coalesce(JOBS.c.started_at, _NOW),
        attempt_started_at=_NOW,
        # From now on only the whole time counts.
        expires_at=JOBS.c.deadline,
        error=null(),
        error_code=null(),
        error_traceback=null(),
        progress=null(),
        events=_COUNTED,
    )
    .returning(
        *WIRE,
        *(JOBS.c[name] for name in ("handler", "payload", "payload_blob", "retry", "timeout")),
        *(JOBS.c[name] for name in ("failures", "crashes", "suspicions", "events")),
        type_coerce(JOBS.c.labels, Text).label("labels"),
        type_coerce(JOBS.c.deadline, Text).label("deadline"),
    )
)
_WITH_KEY = (JOBS.c.status == RUNNING, JOBS.c.concurrency_key == _param("key", JOBS.c.concurrency_key))
_IN_QUEUE = (JOBS.c.status == RUNNING, JOBS.c.queue == _param("queue", JOBS.c.queue))
COUNT_RUNNING_WITH_KEY = Direct(select(func.count().label("number")).select_from(JOBS).where(*_WITH_KEY))
COUNT_RUNNING_IN_QUEUE = Direct(select(func.count().label("number")).select_from(JOBS).where(*_IN_QUEUE))

REPORT = Direct(
    update(JOBS)
    .where(*_FENCE)
    .values(
        progress=func.coalesce(_param("progress", JOBS.c.progress), JOBS.c.progress),
        events=JOBS.c.events + _param("events", JOBS.c.events),
    )
    .returning(*WIRE, JOBS.c.events)
)
FINISH = Direct(
    update(JOBS)
    .where(*_FENCE, JOBS.c.cancel_requested == _param("asked", JOBS.c.cancel_requested))
    .values(
        **_RELEASED,
        **_ERROR,
        status=_param("status", JOBS.c.status),
        finished_at=_NOW,
        expires_at=null(),
        suspicions=0,
        failures=_param("failures", JOBS.c.failures),
        crashes=_param("crashes", JOBS.c.crashes),
        artifact_id=func.coalesce(_param("artifact_id", JOBS.c.artifact_id), JOBS.c.artifact_id),
        progress=func.coalesce(_param("progress", JOBS.c.progress), JOBS.c.progress),
        result=_param("result", JOBS.c.result),
        events=_COUNTED,
    )
    .returning(*WIRE, *_ATTEMPT)
)
RETRY = Direct(
    update(JOBS)
    .where(*_FENCE, _NOT_ASKED)
    .values(
        **_RELEASED,
        **_ERROR,
        status=PENDING,
        run_after=_param("run_after", JOBS.c.run_after),
        suspicions=0,
        failures=_param("failures", JOBS.c.failures),
        crashes=_param("crashes", JOBS.c.crashes),
        events=_COUNTED,
    )
    .returning(*WIRE, *_ATTEMPT)
)
STORE_RESULT = Direct(update(JOBS).where(_IS_JOB).values(result=_param("result", JOBS.c.result)))

REQUEST_CANCEL = Direct(
    update(JOBS)
    .where(_IS_JOB, or_(_WAITS, JOBS.c.status == RUNNING), _NOT_ASKED)
    .values(
        status=case((_WAITS, CANCELED), else_=JOBS.c.status),
        finished_at=case((_WAITS, _NOW), else_=null()),
        error=case((_WAITS, null()), else_=JOBS.c.error),
        error_code=case((_WAITS, null()), else_=JOBS.c.error_code),
        error_traceback=case((_WAITS, null()), else_=JOBS.c.error_traceback),
        cancel_requested=True,
        events=_COUNTED,
    )
    .returning(*WIRE, JOBS.c.events)
)

_STAYS = and_(JOBS.c.durable == true(), _NOT_ASKED)
_LOST = and_(JOBS.c.durable == false(), _NOT_ASKED)
HELD = or_(JOBS.c.status == RUNNING, and_(_WAITS, _LOST))
"""What a process that ends leaves behind; the caller says whose."""
GIVE_BACK = Direct(
    update(JOBS)
    .where(_IS_JOB, JOBS.c.attempt == _param("attempt", JOBS.c.attempt), HELD)
    .values(
        **_RELEASED,
        status=case((JOBS.c.cancel_requested == true(), CANCELED), (_LOST, FAILED), else_=PENDING),
        finished_at=case((_STAYS, null()), else_=_NOW),
        error=case((_LOST, _NOT_DURABLE_TEXT), else_=null()),
        error_code=case((_LOST, NOT_DURABLE), else_=null()),
        suspicions=JOBS.c.suspicions + _param("suspicion", JOBS.c.suspicions),
        run_after=case(
            (
                JOBS.c.suspicions + _param("suspicion", JOBS.c.suspicions) >= SUSPICIONS_BEFORE_WAIT,
                _param("later", JOBS.c.run_after),
            ),
            else_=JOBS.c.run_after,
        ),
        events=_COUNTED,
    )
    .returning(*WIRE, *_ATTEMPT)
)

_TOO_LATE = JOBS.c.deadline <= _NOW
_LATE = select(JOBS.c.id).where(_WAITS_AT_ALL, JOBS.c.expires_at <= _NOW)
EXPIRE = Direct(
    update(JOBS)
    # Without those that somebody holds locked, who may be stopped: the others must not wait for him.
    .where(JOBS.c.id.in_(_LATE.with_for_update(skip_locked=True)))
    .values(
        status=FAILED,
        finished_at=_NOW,
        error=case((_TOO_LATE, _DEADLINE_TEXT), else_=_QUEUE_TIMEOUT_TEXT),
        error_code=case((_TOO_LATE, DEADLINE_PASSED), else_=QUEUE_TIMEOUT),
        error_traceback=null(),
        expires_at=null(),
        events=_COUNTED,
    )
    .returning(*WIRE, JOBS.c.events)
)
RESTART = Direct(
    update(JOBS)
    .where(_IS_JOB, or_(JOBS.c.status == FAILED, JOBS.c.status == CANCELED, _IS_HELD), JOBS.c.durable == true())
    .values(
        status=PENDING,
        run_after=_NOW,
        payload=func.coalesce(_param("payload", JOBS.c.payload), JOBS.c.payload),
        payload_blob=case(
            (_param("payload", JOBS.c.payload).is_(None), JOBS.c.payload_blob),
            else_=_param("payload_blob", JOBS.c.payload_blob),
        ),
        artifact_id=_param("artifact_id", JOBS.c.artifact_id),
        deadline=_param("deadline", JOBS.c.deadline),
        expires_at=_param("deadline", JOBS.c.deadline),
        failures=0,
        crashes=0,
        suspicions=0,
        cancel_requested=False,
        **dict.fromkeys(("finished_at", "error", "error_code", "error_traceback", "progress", "result"), null()),
        events=_COUNTED,
    )
    .returning(*WIRE, JOBS.c.events)
)

NEXT_MOMENTS = Prepared(
    select(
        select(func.min(type_coerce(JOBS.c.run_after, Text)))
        .where(_WAITS_AT_ALL, JOBS.c.run_after > _NOW)
        .scalar_subquery(),
        select(func.min(type_coerce(JOBS.c.expires_at, Text)))
        .where(_WAITS_AT_ALL, JOBS.c.expires_at.is_not(None))
        .scalar_subquery(),
    )
)
"""When the next job may start, and when the next one is too late."""
_HELD_BY = (JOBS.c.owner == _param("owner", JOBS.c.owner), JOBS.c.status == RUNNING)
ASKED_TO_STOP = Prepared(select(JOBS.c.id).where(*_HELD_BY, JOBS.c.cancel_requested == true()))
HELD_BY = Prepared(select(JOBS.c.id, JOBS.c.attempt).where(*_HELD_BY))

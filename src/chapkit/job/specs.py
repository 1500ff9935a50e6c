"""A job as it is written down when it is submitted."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import to_json

from chapkit.core.ids import ULID
from chapkit.core.origin import current_origin
from chapkit.job.ports import JobHandler
from chapkit.job.schemas import JobSpec, JobStatus

_END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""What lies behind it stands for never."""
_EMPTY = (
    "lease_until",
    "attempt_started_at",
    "started_at",
    "finished_at",
    "progress",
    "error",
    "error_code",
    "error_traceback",
    "result",
)


def row_of(spec: JobSpec, handler: JobHandler, now: datetime, owner: ULID | None) -> dict[str, Any]:
    """Return the columns of a new job; what the spec leaves open is as its handler says."""
    payload = to_json(spec.payload)
    name = spec.labels.get("name")
    run_after = now if spec.run_after is None else _within_calendar(spec.run_after)
    deadline = _later(now, spec.total_timeout)
    retry = spec.retry or handler.retry
    if retry is not None and handler.never:
        retry = replace(retry, never=(*retry.never, *handler.never))
    return {
        "id": spec.id or ULID(),
        "handler": spec.handler,
        "kind": str(spec.labels.get("kind", spec.handler)),
        "name": None if name is None else str(name),
        "payload": payload.decode(),
        "payload_blob": spec.payload_blob,
        "labels": {**current_origin(), **spec.labels},
        "queue": spec.queue,
        "priority": spec.priority,
        "status": JobStatus.PENDING.value,
        "durable": spec.durable,
        "key": spec.key,
        "fingerprint": spec.fingerprint or (_fingerprint(spec, payload) if spec.key is not None else None),
        "run_after": run_after,
        "deadline": deadline,
        "total_timeout": spec.total_timeout,
        "expires_at": min(filter(None, (deadline, _later(max(now, run_after), spec.queue_timeout))), default=None),
        "timeout": spec.timeout if spec.timeout is not None else handler.timeout,
        "retry": None if retry is None else retry.to_text(),
        "concurrency_key": spec.concurrency_key,
        "concurrency_limit": None if spec.concurrency_key is None else spec.concurrency_limit,
        "attempt": 0,
        "owner": owner,
        "cancel_requested": False,
        "artifact_id": spec.artifact_id,
        "submitted_at": now,
        "events": 1,
        **dict.fromkeys(("failures", "crashes", "suspicions"), 0),
        **dict.fromkeys(_EMPTY),
    }


def _later(moment: datetime, seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return _within_calendar(moment + timedelta(seconds=seconds))
    except OverflowError:
        return _END_OF_TIME


def _within_calendar(moment: datetime) -> datetime:
    # PostgreSQL's driver takes the very last microsecond for infinity.
    return min(_END_OF_TIME, moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


def _fingerprint(spec: JobSpec, payload: bytes) -> str:
    parts = (spec.handler.encode(), payload, (spec.payload_blob or "").encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()

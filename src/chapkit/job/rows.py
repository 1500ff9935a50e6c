"""Columns of a job as they stand on the wire."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, cast

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Table, Text, type_coerce

from chapkit.core.clock import to_text
from chapkit.job.models import Job, JobAttempt, JobEvent, JobOwner

Row: TypeAlias = Mapping[Any, Any]
"""Columns by name."""

JOBS = cast("Table", Job.__table__)
ATTEMPTS = cast("Table", JobAttempt.__table__)
EVENTS = cast("Table", JobEvent.__table__)
OWNERS = cast("Table", JobOwner.__table__)

_MOMENTS = ("submitted_at", "started_at", "finished_at")
CHANGING = ("status", "started_at", "finished_at", "error", "artifact_id", "error_code", "attempt", "progress")
"""Members that differ between two events of a job."""
_MEMBERS = (
    "id",
    "status",
    "submitted_at",
    "started_at",
    "finished_at",
    "error",
    "artifact_id",
    "error_code",
    "kind",
    "name",
    "attempt",
    "progress",
)
# As they are stored: moments are text in wire form on SQLite already.
WIRE: tuple[ColumnElement[Any], ...] = tuple(
    type_coerce(JOBS.c[name], Text).label(name) if name in ("id", "artifact_id", *_MOMENTS) else JOBS.c[name]
    for name in _MEMBERS
)


def to_wire(row: Row) -> dict[str, Any]:
    """Return the members of a job on the wire."""
    return {
        "id": row["id"],
        "status": row["status"],
        "submitted_at": moment(row["submitted_at"]),
        "started_at": moment(row["started_at"]),
        "finished_at": moment(row["finished_at"]),
        "error": row["error"],
        "error_traceback": None,
        "artifact_id": row["artifact_id"],
        "error_code": row["error_code"],
        "kind": row["kind"],
        "name": row["name"],
        "attempt": row["attempt"],
        "progress": _fraction(row["progress"]),
    }


def changing(row: Row) -> dict[str, Any]:
    """Return what an event tells of the job's state."""
    return {name: _CONVERSIONS[name](row[name]) if name in _CONVERSIONS else row[name] for name in CHANGING}


def render(rows: Sequence[Row]) -> list[bytes]:
    """Return the JSON of each job."""
    return [to_json(to_wire(row)) for row in rows]


def moment(value: str | datetime | None) -> str | None:
    """Return a stored moment in wire form."""
    return to_text(value) if isinstance(value, datetime) else value


def as_datetime(value: str | datetime | None) -> datetime | None:
    """Return a stored moment, aware."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _fraction(value: float | None) -> float | None:
    # SQLite hands a whole number out as one, right after it was written.
    return None if value is None else float(value)


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {**dict.fromkeys(_MOMENTS, moment), "progress": _fraction}

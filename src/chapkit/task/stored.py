"""A task as its execution needs it, read past the ORM."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Text, bindparam, select, type_coerce

from chapkit.core.clock import to_text
from chapkit.core.ids import ULID
from chapkit.core.quick import Prepared
from chapkit.task.models import Task
from chapkit.task.schemas import ORPHAN

_NAMES = (
    *("id", "command", "task_type", "parameters", "enabled", "disabled_by", "disabled_reason", "job"),
    *("created_at", "updated_at"),
)
_AS_STORED = frozenset({"id", "parameters", "job", "created_at", "updated_at"})
FIND = Prepared(
    select(
        *(type_coerce(getattr(Task, name), Text) if name in _AS_STORED else getattr(Task, name) for name in _NAMES)
    ).where(Task.id == bindparam("id", type_=Text))
)


@dataclass(frozen=True)
class StoredTask:
    """The columns of a task."""

    id: ULID
    command: str
    task_type: str
    parameters: Mapping[str, Any] | None
    enabled: bool
    disabled_by: str | None
    disabled_reason: str | None
    job: Mapping[str, Any] | None
    created_at: str
    updated_at: str

    @property
    def is_orphan(self) -> bool:
        """Tell whether it is disabled because its function was missing."""
        return self.disabled_by == ORPHAN

    @classmethod
    def of(cls, task: Task) -> "StoredTask":
        """Return the columns of an entity."""
        columns: dict[str, Any] = {name: getattr(task, name) for name in _NAMES}
        columns |= {"created_at": to_text(task.created_at), "updated_at": to_text(task.updated_at)}
        return cls(**columns)

    @classmethod
    def from_row(cls, row: Any) -> "StoredTask":
        """Return what `FIND` has found."""
        id, command, task_type, parameters, enabled, by, reason, job, created_at, updated_at = row
        return cls(
            id=ULID.trusted(id),
            command=command,
            task_type=task_type,
            parameters=_value(parameters),
            enabled=bool(enabled),
            disabled_by=by,
            disabled_reason=reason,
            job=_value(job),
            created_at=_moment(created_at),
            updated_at=_moment(updated_at),
        )


def _value(text: str | None) -> dict[str, Any] | None:
    return None if text is None else from_json(text)


def _moment(value: str | datetime) -> str:
    return to_text(value) if isinstance(value, datetime) else value

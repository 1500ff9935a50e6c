"""Types of columns, the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import DateTime, Dialect, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from chapkit.core.clock import to_text
from chapkit.core.ids import ULID

MOMENT_LENGTH = 27


class ULIDType(TypeDecorator[ULID]):
    """A ULID, stored as its 26 characters."""

    impl = String(26)
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        """Return the text of the ULID; anything that is none is an error."""
        return None if value is None else str(ULID(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> ULID | None:
        """Return the stored ULID."""
        return None if value is None else ULID.trusted(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC with microseconds: text in wire form on SQLite, `timestamptz` on PostgreSQL."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the dialect's own column."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(MOMENT_LENGTH))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return the moment in UTC; one without a zone is taken as UTC."""
        if value is None:
            return None
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        return to_text(aware) if dialect.name == "sqlite" else aware.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the stored moment, aware."""
        if value is None:
            return None
        return datetime.fromisoformat(value) if isinstance(value, str) else value.astimezone(UTC)


class JsonType(TypeDecorator[Any]):
    """Any JSON value, stored as its text, so that it comes back as it was sent."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the JSON text of the value; `None` is SQL's null."""
        return None if value is None else to_json(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the stored value."""
        return None if value is None else from_json(value)


class JsonText(TypeDecorator[str]):
    """A JSON document that is kept and handed out as text, for models that parse it on demand."""

    impl = Text
    cache_ok = True

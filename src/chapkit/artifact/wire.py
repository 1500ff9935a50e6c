"""Artifacts as the bytes that stand on the wire, from columns as they are stored."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Text, type_coerce

from chapkit.artifact.models import Artifact
from chapkit.core.clock import to_text

WIRE_COLUMNS = (
    type_coerce(Artifact.id, Text),
    type_coerce(Artifact.created_at, Text),
    type_coerce(Artifact.updated_at, Text),
    type_coerce(Artifact.tags, Text),
    Artifact.type,
    type_coerce(Artifact.info, Text),
    Artifact.media_type,
    Artifact.size,
    type_coerce(Artifact.parent_id, Text),
    Artifact.level,
)
"""What a list needs of an artifact; `RawArtifact` names them."""


@dataclass(slots=True)
class RawArtifact:
    """The columns of an artifact as they are stored."""

    id: str
    created_at: str | datetime
    updated_at: str | datetime
    tags: str
    type: str
    metadata: str
    media_type: str
    size: int
    parent_id: str | None
    level: int

    @classmethod
    def of(cls, entity: Artifact) -> "RawArtifact":
        """Return the columns of a row that was loaded."""
        return cls(
            entity.id,
            entity.created_at,
            entity.updated_at,
            to_json(entity.tags).decode(),
            entity.type,
            to_json(entity.info).decode(),
            entity.media_type,
            entity.size,
            entity.parent_id,
            entity.level,
        )


def raw_artifacts(rows: Iterable[Any]) -> list[RawArtifact]:
    """Return rows of `WIRE_COLUMNS` by name."""
    return [RawArtifact(*row) for row in rows]


def compose(row: RawArtifact, content: bytes | None = None) -> bytes:
    """Return the JSON of an artifact; `content` is JSON already, and left out if not given."""
    parent = b"null" if row.parent_id is None else b'"%b"' % row.parent_id.encode()
    head = b'{"id":"%b","created_at":"%b","updated_at":"%b","tags":%b,"data":{"type":%b,"metadata":%b,' % (
        row.id.encode(),
        _moment(row.created_at),
        _moment(row.updated_at),
        row.tags.encode(),
        to_json(row.type),
        row.metadata.encode(),
    )
    tail = b'"content_type":%b,"content_size":%d},"parent_id":%b,"level":%d}' % (
        to_json(row.media_type),
        row.size,
        parent,
        row.level,
    )
    return b"".join((head, tail) if content is None else (head, b'"content":', content, b",", tail))


def data_members(entity: Artifact) -> dict[str, Any]:
    """Return the `data` of an artifact without its content."""
    return {
        "type": entity.type,
        "metadata": entity.info,
        "content_type": entity.media_type,
        "content_size": entity.size,
    }


def _moment(value: str | datetime) -> bytes:
    return (value if isinstance(value, str) else to_text(value)).encode()

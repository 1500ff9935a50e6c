"""The tables of artifacts and of their small contents."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from chapkit.core.clock import utc_now
from chapkit.core.columns import JsonText, JsonType, ULIDType, UtcDateTime
from chapkit.core.ids import ULID
from chapkit.core.models import Base, Entity

SHA256_LENGTH = 64


class Artifact(Entity):
    """What is listed of an artifact; its content is a blob, named by its SHA-256."""

    __tablename__ = "artifacts"

    parent_id: Mapped[ULID | None] = mapped_column(ULIDType, ForeignKey("artifacts.id"), index=True)
    level: Mapped[int] = mapped_column(default=0, index=True)
    type: Mapped[str] = mapped_column(String, default="generic", index=True)
    info: Mapped[dict[str, Any]] = mapped_column("metadata", JsonType, default=dict)
    media_type: Mapped[str] = mapped_column(String)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(SHA256_LENGTH), index=True)
    signature: Mapped[str | None] = mapped_column(String(SHA256_LENGTH))
    """Proof that this service made the content; only contents that run code when read have one."""
    preview: Mapped[str | None] = mapped_column(JsonText)
    """What stands on the wire in place of a content that JSON cannot carry."""


class Blob(Base):
    """A small content."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(String(SHA256_LENGTH), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

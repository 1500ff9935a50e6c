"""The table of configurations."""

from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json
from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from chapkit.core.columns import JsonText
from chapkit.core.models import Entity

DEFAULT_KIND = "config"


class Config(Entity):
    """A named document; `data` is its content as JSON."""

    __tablename__ = "configs"
    # With the id in it the index gives a page in order; without, every row of the kind would be sorted first.
    __table_args__ = (Index("ix_configs_kind", "kind", "id"),)

    kind: Mapped[str] = mapped_column(String, default=DEFAULT_KIND)
    """Name of the feature that owns it: a service may have several configuration classes."""
    name: Mapped[str] = mapped_column(String, index=True)
    document: Mapped[str] = mapped_column("data", JsonText)
    shape: Mapped[str | None] = mapped_column(String(16))
    """Fingerprint of the schema that the document was checked against."""

    @property
    def data(self) -> dict[str, Any]:
        """The content, as plain JSON values."""
        content: dict[str, Any] = from_json(self.document)
        return content

    @data.setter
    def data(self, value: BaseModel | dict[str, Any]) -> None:
        self.document = value.model_dump_json() if isinstance(value, BaseModel) else to_json(value).decode()

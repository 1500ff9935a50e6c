"""The table that ties artifacts to configurations."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from chapkit.core.columns import ULIDType
from chapkit.core.ids import ULID
from chapkit.core.models import Base


class ConfigArtifact(Base):
    """A root artifact belongs to one configuration; a configuration has any number of them."""

    __tablename__ = "config_artifacts"

    config_id: Mapped[ULID] = mapped_column(ULIDType, ForeignKey("configs.id", ondelete="CASCADE"), primary_key=True)
    artifact_id: Mapped[ULID] = mapped_column(
        ULIDType, ForeignKey("artifacts.id", ondelete="CASCADE"), primary_key=True, unique=True
    )

"""Names for the levels of a tree of artifacts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class ArtifactHierarchy:
    """Labels levels; it neither limits their number nor checks what lies on them."""

    hierarchy_key: ClassVar[str] = "hierarchy"
    depth_key: ClassVar[str] = "level_depth"
    label_key: ClassVar[str] = "level_label"

    name: str
    level_labels: Mapping[int, str] = field(default_factory=dict[int, str], hash=False)

    def label_for(self, level: int) -> str:
        """Return the label of a level, `level_<n>` where none was given."""
        return self.level_labels.get(level, f"level_{level}")

    def describe(self, level: int) -> dict[str, Any]:
        """Return name, depth and label of a level."""
        return {self.hierarchy_key: self.name, self.depth_key: level, self.label_key: self.label_for(level)}

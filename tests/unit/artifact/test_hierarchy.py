import pytest

from chapkit.artifact.hierarchy import ArtifactHierarchy


def test_a_level_has_its_label() -> None:
    hierarchy = ArtifactHierarchy(name="ml", level_labels={0: "model", 1: "prediction"})
    assert hierarchy.label_for(1) == "prediction"
    assert hierarchy.describe(0) == {"hierarchy": "ml", "level_depth": 0, "level_label": "model"}


def test_a_level_without_label_is_numbered() -> None:
    assert ArtifactHierarchy("ml").label_for(7) == "level_7"


def test_the_keys_are_named_on_the_class() -> None:
    keys = ArtifactHierarchy.hierarchy_key, ArtifactHierarchy.depth_key, ArtifactHierarchy.label_key
    assert keys == ("hierarchy", "level_depth", "level_label")


def test_a_hierarchy_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ArtifactHierarchy("ml").name = "other"  # type: ignore[misc]


def test_a_hierarchy_can_be_hashed() -> None:
    assert hash(ArtifactHierarchy("ml", {0: "a"})) == hash(ArtifactHierarchy("ml", {0: "a"}))

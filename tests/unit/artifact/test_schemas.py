import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest

from chapkit.artifact.schemas import (
    ArtifactData,
    ArtifactIn,
    ArtifactOut,
    ArtifactParts,
    ArtifactTreeNode,
    GenericArtifactData,
    MLMetadata,
    MLPredictionArtifactData,
    MLPredictionWorkspaceArtifactData,
    MLTrainingArtifactData,
    take_apart,
    validate_artifact_data,
)
from chapkit.core.ids import ULID

NOW = datetime(2026, 1, 2, tzinfo=UTC)
METADATA: dict[str, Any] = {
    "status": "success",
    "config_id": str(ULID()),
    "started_at": "2026-01-02T00:00:00+00:00",
    "completed_at": "2026-01-02T00:00:01+00:00",
    "duration_seconds": 1.0,
}


def out(**data: Any) -> ArtifactOut:
    return ArtifactOut(id=ULID(), created_at=NOW, updated_at=NOW, data=ArtifactData(**data), parent_id=None, level=0)


def test_the_members_stand_in_the_order_of_the_wire() -> None:
    artifact = out(type="generic", metadata={}, content=1, content_type="application/json", content_size=1)
    document = artifact.model_dump(mode="json")
    assert list(document) == ["id", "created_at", "updated_at", "tags", "data", "parent_id", "level"]
    assert list(document["data"]) == ["type", "metadata", "content", "content_type", "content_size"]


def test_a_content_that_was_not_loaded_is_left_out() -> None:
    assert "content" not in out(type="generic").model_dump()["data"]
    assert out(type="generic", content=None).model_dump()["data"]["content"] is None


def test_what_was_written_is_read_again() -> None:
    for artifact in (out(type="generic", content={"a": 1}), out(type="generic")):
        assert ArtifactOut.model_validate_json(artifact.model_dump_json()) == artifact


def test_the_schema_tells_the_members_of_data() -> None:
    schema = ArtifactOut.model_json_schema(mode="serialization")
    members = schema["$defs"]["ArtifactData"]["properties"]
    assert list(members) == ["type", "metadata", "content", "content_type", "content_size"]


def test_members_of_data_are_read_by_name() -> None:
    assert out(type="generic", content=[1]).data["content"] == [1]


def test_data_must_be_sent_but_may_be_null() -> None:
    assert ArtifactIn.model_validate({"data": None}).data is None
    with pytest.raises(pydantic.ValidationError):
        ArtifactIn.model_validate({})


def test_a_level_is_accepted_and_ignored() -> None:
    assert not hasattr(ArtifactIn.model_validate({"data": 1, "level": 7}), "level")


def test_the_typed_shape_is_taken_apart() -> None:
    data = {"type": "report", "metadata": {"a": 1}, "content": [1], "content_type": "application/json"}
    assert take_apart({**data, "content_size": 3}) == ArtifactParts([1], "report", {"a": 1}, "application/json")
    assert take_apart({"type": "report", "content": None}) == ArtifactParts(None, "report")


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        [1],
        {},
        {"type": "report"},
        {"content": 1},
        {"type": 1, "content": 1},
        {"type": "", "content": 1},
        {"type": "report", "content": 1, "more": 2},
        {"type": "report", "content": 1, "metadata": [1]},
        {"type": "report", "content": 1, "content_type": 1},
    ],
)
def test_anything_else_is_the_content_itself(data: Any) -> None:
    assert take_apart(data) == ArtifactParts(data)


def test_objects_with_the_typed_shape_are_taken_apart_too() -> None:
    assert take_apart(ArtifactData(type="report", content=1)) == ArtifactParts(1, "report", {})
    prediction = MLPredictionArtifactData(metadata=MLMetadata(**METADATA), content={"columns": []})
    assert take_apart(prediction).type == "ml_prediction"


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("ml_training_workspace", MLTrainingArtifactData),
        ("ml_prediction", MLPredictionArtifactData),
        ("ml_prediction_workspace", MLPredictionWorkspaceArtifactData),
    ],
)
def test_the_type_names_the_class(type: str, kind: type) -> None:
    data = validate_artifact_data({"type": type, "metadata": {**METADATA, "seed": 1}, "content": {}})
    assert isinstance(data, kind)
    assert data.metadata.config_id == METADATA["config_id"]
    assert data.metadata.model_dump()["seed"] == 1


def test_a_generic_artifact_has_any_metadata() -> None:
    assert isinstance(validate_artifact_data(ArtifactData(type="generic", content=1)), GenericArtifactData)


@pytest.mark.parametrize(
    "data",
    [
        {"type": "unknown", "content": 1},
        {"type": "ml_prediction", "content": {}},
        {"type": "ml_prediction", "metadata": {**METADATA, "status": "perhaps"}, "content": {}},
        {"type": "ml_prediction", "metadata": METADATA, "content": {}, "predictions": {}},
    ],
)
def test_data_that_do_not_fit_their_type_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        validate_artifact_data(data)


def test_a_node_is_made_of_an_artifact() -> None:
    artifact = out(type="generic", content=[1])
    node = ArtifactTreeNode.from_artifact(artifact)
    assert node.model_dump(exclude={"level_label", "hierarchy", "children", "config"}) == artifact.model_dump()
    assert (node.children, node.config) == (None, None)


def test_the_schemas_need_neither_server_nor_database() -> None:
    code = "import sys, chapkit.artifact.schemas; print({'fastapi', 'sqlalchemy', 'pandas'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"

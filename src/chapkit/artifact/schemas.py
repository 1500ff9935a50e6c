"""Artifacts on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from chapkit.core.ids import ULID
from chapkit.core.schemas import EntityIn, EntityOut
from chapkit.core.types import JsonSafe

GENERIC = "generic"
_OPTIONAL_MEMBERS = frozenset({"metadata", "content_type", "content_size"})


class ArtifactData(BaseModel):
    """An artifact's type, what is known of its content, and the content where it was asked for."""

    model_config = ConfigDict(from_attributes=True)

    type: str
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    content: JsonSafe = Field(default=None, description="Left out of lists and trees.")
    content_type: str | None = Field(default=None, description="Media type of the stored bytes.")
    content_size: int | None = Field(default=None, description="Number of the stored bytes.")

    def __getitem__(self, member: str) -> Any:
        """Return a member by name, as of the plain object that `data` is on the wire."""
        return self.model_dump()[member]

    @model_serializer(mode="wrap")
    def _leave_out_content(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        members: dict[str, Any] = handler(self)
        if "content" not in self.model_fields_set:
            members.pop("content", None)
        return members

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # The serialiser only leaves a member out; without it the schema tells of the members.
        plain = {name: value for name, value in core_schema.items() if name != "serialization"}
        return handler(cast("CoreSchema", plain))


class ArtifactIn(EntityIn):
    """An artifact as a client sends it."""

    data: Any = Field(
        description="Any JSON. An object of `type` and `content`, with nothing else but `metadata`, `content_type` "
        "and `content_size`, is taken apart; anything else is the content of a `generic` artifact."
    )
    parent_id: ULID | None = Field(default=None, description="The artifact that this one belongs to.")


class ArtifactOut(EntityOut):
    """An artifact as the service stores it."""

    data: ArtifactData
    parent_id: ULID | None = None
    level: int = Field(description="Distance from the root, which is 0.")


class ArtifactTreeNode(ArtifactOut):
    """An artifact in its tree; `children` is null where they were not loaded."""

    level_label: str | None = None
    hierarchy: str | None = None
    children: list["ArtifactTreeNode"] | None = None
    config: Any | None = Field(default=None, description="The configuration that a root is linked with.")

    @classmethod
    def from_artifact(cls, artifact: ArtifactOut) -> "ArtifactTreeNode":
        """Return the artifact as a node that knows nothing of its tree yet."""
        return cls.model_validate({name: getattr(artifact, name) for name in ArtifactOut.model_fields})


class MLMetadata(BaseModel):
    """What is known of a run of a model."""

    model_config = ConfigDict(extra="allow", from_attributes=True)

    status: Literal["success", "failed"]
    config_id: str
    started_at: str
    completed_at: str
    duration_seconds: float
    exit_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None


class _TypedData(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)

    type: Any
    metadata: Any
    content: Any
    content_type: str | None = None
    content_size: int | None = None


class MLTrainingArtifactData(_TypedData):
    """What a training leaves: a model, or the workspace that holds it."""

    type: Literal["ml_training_workspace", "ml_training"] = "ml_training_workspace"
    metadata: MLMetadata


class MLPredictionArtifactData(_TypedData):
    """What a prediction leaves: a frame."""

    type: Literal["ml_prediction"] = "ml_prediction"
    metadata: MLMetadata


class MLPredictionWorkspaceArtifactData(_TypedData):
    """The workspace in which a prediction was made."""

    type: Literal["ml_prediction_workspace"] = "ml_prediction_workspace"
    metadata: MLMetadata


class GenericArtifactData(_TypedData):
    """Anything else."""

    type: Literal["generic"] = "generic"
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])


TypedArtifactData: TypeAlias = (
    MLTrainingArtifactData | MLPredictionArtifactData | MLPredictionWorkspaceArtifactData | GenericArtifactData
)


def validate_artifact_data(data: Mapping[str, Any] | BaseModel) -> TypedArtifactData:
    """Return the `data` of an artifact as an object of the class that its `type` names.

    Raises:
        pydantic.ValidationError: The type is not known, or a member is wrong.
    """
    members = data.model_dump() if isinstance(data, BaseModel) else dict(data)
    adapter: TypeAdapter[TypedArtifactData] = TypeAdapter(Annotated[TypedArtifactData, Field(discriminator="type")])
    return adapter.validate_python(members)


@dataclass(frozen=True)
class ArtifactParts:
    """What was sent as `data`, taken apart."""

    content: Any
    type: str = GENERIC
    metadata: Any = None
    content_type: str | None = None


def take_apart(data: Any) -> ArtifactParts:
    """Return the parts of `data`; one without the typed shape is the content of a generic artifact."""
    if isinstance(data, ArtifactData | _TypedData):
        return ArtifactParts(data.content, data.type, data.metadata, data.content_type)
    if not isinstance(data, dict):
        return ArtifactParts(data)
    members = cast("dict[str, Any]", data)
    if not _has_typed_shape(members):
        return ArtifactParts(members)
    return ArtifactParts(
        members["content"], members["type"], members.get("metadata"), members.get("content_type") or None
    )


def _has_typed_shape(members: dict[str, Any]) -> bool:
    kind = members.get("type")
    return (
        isinstance(kind, str)
        and kind != ""
        and "content" in members
        and members.keys() - {"type", "content"} <= _OPTIONAL_MEMBERS
        and isinstance(members.get("metadata"), dict | BaseModel | None)
        and isinstance(members.get("content_type"), str | None)
        and isinstance(members.get("content_size"), int | None)
    )

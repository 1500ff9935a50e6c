"""A merge patch of an artifact: what is not named stays as it is, the content above all."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from chapkit.artifact.codecs import has_wire_content
from chapkit.artifact.coder import ReadyData, plain_metadata
from chapkit.artifact.models import Artifact
from chapkit.artifact.schemas import GENERIC, ArtifactIn
from chapkit.core.errors import UnprocessableError
from chapkit.core.merge import merge_patch

_MEMBERS = ("type", "metadata", "content", "content_type", "content_size")
ContentSource = Callable[[Artifact], Awaitable[Any]]
"""Returns the present content as a JSON value, or raises where JSON cannot carry it."""


async def merge_document(
    entity: Artifact, changes: Mapping[str, Any], schema: type[ArtifactIn], content_of: ContentSource
) -> tuple[ArtifactIn, set[str]]:
    """Return the changed artifact and the fields to write."""
    document: dict[str, Any] = {"tags": entity.tags, "parent_id": entity.parent_id}
    if changes.get("data", entity) is not None:
        document["data"] = None
    others = {name: value for name, value in changes.items() if name != "data"}
    merged = schema.model_validate(merge_patch(document, others))
    if "data" in changes:
        merged = merged.model_copy(update={"data": await _merge_data(entity, changes["data"], content_of)})
    return merged, set(changes) & set(schema.model_fields)


async def _merge_data(entity: Artifact, patch: Any, content_of: ContentSource) -> Any:
    if not isinstance(patch, dict):
        return patch
    members = cast("dict[str, Any]", patch)
    if unknown := sorted(members.keys() - set(_MEMBERS)):
        raise UnprocessableError(
            f"The data of an artifact have no member {unknown[0]!r}; to change the content, name `content`",
            code="data-member-unknown",
            field=f"data.{unknown[0]}",
            expected=_MEMBERS,
            found=unknown,
        )
    kind = members.get("type", entity.type)
    metadata = merge_patch(entity.info, members["metadata"]) if "metadata" in members else entity.info
    kind = GENERIC if kind is None else _require(str, kind, "data.type")
    metadata = {} if metadata is None else cast("dict[str, Any]", _require(dict, metadata, "data.metadata"))
    if "content" not in members and "content_type" not in members:
        return ReadyData(kind, plain_metadata(metadata), None)
    content = members.get("content")
    if "content" not in members or isinstance(content, dict):
        content = merge_patch(await content_of(entity), content or {})
    media_type = members.get("content_type", entity.media_type if has_wire_content(entity.media_type) else None)
    if media_type is not None:
        _require(str, media_type, "data.content_type")
    return {"type": kind, "metadata": metadata, "content": content, "content_type": media_type}


def _require(kind: type[Any], value: Any, field: str) -> Any:
    if isinstance(value, kind) and value != "":
        return value
    raise UnprocessableError(
        f"{field} must be {'text' if kind is str else 'an object'}",
        code="data-member-invalid",
        field=field,
        found=type(value).__name__,
    )

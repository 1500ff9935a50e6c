"""Routes of links, on both collections."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from chapkit.core.ids import ULID
from chapkit.core.rendering import as_array
from chapkit.link.manager import LinkManager
from chapkit.link.schemas import LinkArtifactRequest, UnlinkArtifactRequest
from chapkit.web.dependencies import provided
from chapkit.web.openapi import problems
from chapkit.web.responses import json_bytes

Links = Annotated[LinkManager, Depends(provided(LinkManager))]


def config_side(prefix: str, tags: tuple[str, ...]) -> APIRouter:
    """Return the operations on a configuration."""
    router = APIRouter(prefix=prefix, tags=list(tags))

    @router.post(
        "/{entity_id}/$link-artifact", status_code=204, summary="Link artifact", responses=problems(400, 404, 409, 422)
    )
    async def link_artifact(entity_id: str, body: LinkArtifactRequest, links: Links) -> None:
        await links.link(ULID(entity_id), body.artifact_id)

    @router.post(
        "/{entity_id}/$unlink-artifact", status_code=204, summary="Unlink artifact", responses=problems(400, 404, 422)
    )
    async def unlink_artifact(entity_id: str, body: UnlinkArtifactRequest, links: Links) -> None:
        await links.unlink(ULID(entity_id), body.artifact_id)

    @router.get("/{entity_id}/$artifacts", summary="Root artifacts", responses=problems(400, 404))
    async def artifacts(entity_id: str, links: Links) -> Response:
        return json_bytes(as_array(await links.render_artifacts(ULID(entity_id))))

    return router


def artifact_side(prefix: str, tags: tuple[str, ...], config_schema: Any) -> APIRouter:
    """Return the operation on an artifact."""
    router = APIRouter(prefix=prefix, tags=list(tags))

    @router.get(
        "/{entity_id}/$config", response_model=config_schema, summary="Linked config", responses=problems(400, 404)
    )
    async def config(entity_id: str, links: Links) -> Response:
        return json_bytes(links.configs.render(await links.get_config(ULID(entity_id))))

    return router

"""Routes of artifacts."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from chapkit.artifact.content import download
from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.models import Artifact
from chapkit.artifact.schemas import ArtifactIn, ArtifactOut, ArtifactTreeNode
from chapkit.artifact.storage import ContentStorage
from chapkit.web.crud import CrudRouter
from chapkit.web.dependencies import RequestServices
from chapkit.web.openapi import problems
from chapkit.web.responses import content_etag, json_bytes, with_etag


async def prepare_body(data: ArtifactIn, services: RequestServices) -> ArtifactIn:
    """Encode what was sent before the transaction of the request begins."""
    storage = services.find(ContentStorage)
    return data if storage is None else await storage.coder.prepare_input(data)


class ArtifactRouter(CrudRouter[ArtifactIn, ArtifactOut]):
    """The generic routes, and those of the tree and of the content."""

    def _register_routes(self) -> None:
        super()._register_routes()
        if self.permissions.read:
            self._register_tree()
            self._register_content()

    def _register_tree(self) -> None:
        async def tree(request: Request, entity_id: str, manager: Any) -> Response:
            content = await manager.render_tree(self._parse_ulid(entity_id))
            if content is None:
                raise self._not_found(entity_id)
            return with_etag(request, content, content_etag(content))

        async def expand(request: Request, entity_id: str, manager: Any) -> Response:
            content = await manager.render_expanded(await self._find(entity_id, manager))
            return with_etag(request, content, content_etag(content))

        for name, handler, summary in (("tree", tree, "Tree below"), ("expand", expand, "Labels and configuration")):
            self._annotate(handler)
            self.register_entity_operation(
                name, handler, response_model=ArtifactTreeNode, summary=summary, responses=problems(400, 404)
            )

    def _register_content(self) -> None:
        async def metadata(entity_id: str, manager: Any) -> Response:
            return json_bytes(manager.render_metadata(await self._find(entity_id, manager)))

        async def send(request: Request, entity_id: str, manager: Any, services: RequestServices) -> Response:
            return await download(request, await self._find(entity_id, manager), services.get(ContentStorage))

        self._annotate(metadata)
        self._annotate(send)
        self.register_entity_operation(
            "metadata",
            metadata,
            response_model=dict[str, Any],
            summary="What is known of the content",
            responses=problems(400, 404),
        )
        self.register_entity_operation(
            "download",
            send,
            response_class=Response,
            summary="The content itself",
            responses={
                206: {"description": "The part that was asked for"},
                304: {"description": "Not modified"},
                **problems(400, 404, 416),
            },
        )

    async def _find(self, entity_id: str, manager: ArtifactManager) -> Artifact:
        artifact = await manager.repository.find_by_id(self._parse_ulid(entity_id))
        if artifact is None:
            raise self._not_found(entity_id)
        return artifact

    def _annotate(self, handler: Callable[..., Any], **types: Any) -> None:
        if types.get("data") is ArtifactIn:
            types["data"] = Annotated[ArtifactIn, Depends(prepare_body)]
        super()._annotate(handler, **types)

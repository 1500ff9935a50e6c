"""Where an artifact stands in its tree, and moves from there."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from chapkit.artifact.models import Artifact
from chapkit.artifact.ports import ArtifactChange
from chapkit.artifact.repository import MAX_DEPTH, ArtifactRepository
from chapkit.core.errors import ConflictError, UnprocessableError
from chapkit.core.ids import ULID

Guard: TypeAlias = Callable[[Artifact, ArtifactChange], Awaitable[None]]
"""Called before an artifact moves or is deleted; an error forbids it."""


class Placement:
    """Keeps levels right, and trees free of circles and of endless depth."""

    def __init__(self, repository: ArtifactRepository, guard: Guard | None) -> None:
        self._repository = repository
        self._guard = guard

    async def place(self, entity: Artifact) -> None:
        """Set the level of a new artifact.

        Raises:
            UnprocessableError: There is no such parent (`parent-unknown`), or it lies too deep (`artifact-too-deep`).
        """
        entity.level = 0
        if entity.parent_id is not None:
            await self._repository.lock_tree(alone=False)
            entity.level = await self._level_below(entity.parent_id)
        _require_depth(entity.level)

    async def move(self, entity: Artifact) -> None:
        """Set the level of an artifact with a new parent, and of everything below it.

        Raises:
            UnprocessableError: There is no such parent (`parent-unknown`), or it lies too deep (`artifact-too-deep`).
            ConflictError: The new parent is the artifact itself, or lies below it (`artifact-cycle`).
        """
        # The new parent is already set, and must not be written before it is found to be right.
        with self._repository.session.no_autoflush:
            level = 0
            if entity.parent_id is not None:
                if entity.id in await self._repository.find_ancestors(entity.parent_id):
                    raise ConflictError(
                        f"Artifact {entity.parent_id} is artifact {entity.id} itself or lies below it, "
                        "so it cannot be its parent",
                        code="artifact-cycle",
                        field="parent_id",
                    )
                level = await self._level_below(entity.parent_id)
            _require_depth(level + await self._repository.height_of(entity.id))
            if self._guard is not None:
                await self._guard(entity, ArtifactChange("move", entity.parent_id))
            if level != entity.level:
                below = await self._repository.find_descendants(entity.id)
                await self._repository.move(below, level - entity.level)
            entity.level = level

    async def _level_below(self, parent_id: ULID) -> int:
        level = await self._repository.level_of(parent_id)
        if level is None:
            raise UnprocessableError(
                f"There is no artifact {parent_id} to be the parent",
                code="parent-unknown",
                field="parent_id",
                found=parent_id,
            )
        return level + 1


def _require_depth(level: int) -> None:
    if level >= MAX_DEPTH:
        raise UnprocessableError(
            f"A tree of artifacts has at most {MAX_DEPTH} levels", code="artifact-too-deep", field="parent_id"
        )

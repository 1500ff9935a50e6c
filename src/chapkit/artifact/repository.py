"""Rows of artifacts, and their place in the tree."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from sqlalchemy import CTE, ColumnElement, Select, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.artifact.models import Artifact
from chapkit.artifact.wire import WIRE_COLUMNS, RawArtifact, raw_artifacts
from chapkit.core.clauses import apply_query
from chapkit.core.clock import utc_now
from chapkit.core.ids import ULID
from chapkit.core.query import Query
from chapkit.core.repository import BaseRepository

MAX_DEPTH = 64
"""Levels that a tree may have."""
_TREE_LOCK = 0x636B5F74726565
_DATA_COLUMNS = {"type": "type", "metadata": "metadata", "content_type": "media_type", "content_size": "size"}
_IDS_PER_STATEMENT = 500


class ArtifactRepository(BaseRepository[Artifact]):
    """Finds artifacts and what is above and below them; never reads a content."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session, Artifact)

    async def find_subtree(self, start_id: ULID) -> Sequence[Artifact]:
        """Return the artifact and everything below it, by level, then by id; nothing if it does not exist."""
        below = _below(start_id)
        statement = select(Artifact).where(Artifact.id.in_(select(below.c.id))).order_by(Artifact.level, Artifact.id)
        return (await self.session.scalars(statement)).all()

    async def subtree_raw(self, start_id: ULID) -> list[RawArtifact]:
        """Return what the wire needs of the artifact and of everything below it, by level, then by id."""
        below = _below(start_id)
        columns = cast("Select[Any]", select(*WIRE_COLUMNS)).where(Artifact.id.in_(select(below.c.id)))
        return raw_artifacts((await self.session.execute(columns.order_by(Artifact.level, Artifact.id))).all())

    async def find_descendants(self, id: ULID) -> Sequence[ULID]:
        """Return the ids of everything below an artifact."""
        below = _below(id)
        return (await self.session.scalars(select(below.c.id).where(below.c.id != id).distinct())).all()

    async def height_of(self, id: ULID) -> int:
        """Return the number of levels below an artifact."""
        return await self.session.scalar(select(func.max(_below(id).c.distance))) or 0

    async def find_ancestors(self, id: ULID) -> Sequence[ULID]:
        """Return the ids of an artifact and of everything above it, upwards; nothing if it does not exist."""
        above = _above(id)
        return (await self.session.scalars(select(above.c.id).order_by(above.c.distance))).all()

    async def get_root(self, id: ULID) -> Artifact | None:
        """Return the root of an artifact's tree, which may be itself, or `None` if there is no such artifact."""
        above = _above(id)
        statement = select(Artifact).where(Artifact.id.in_(select(above.c.id)), Artifact.parent_id.is_(None))
        return (await self.session.scalars(statement)).first()

    async def get_root_artifact(self, id: ULID) -> Artifact | None:
        """Return the root, by the name that this had in the first release."""
        return await self.get_root(id)

    async def children_of(self, id: ULID) -> Sequence[Artifact]:
        """Return the artifacts right below, by id."""
        statement = select(Artifact).where(Artifact.parent_id == id).order_by(Artifact.id)
        return (await self.session.scalars(statement)).all()

    async def count_children(self, id: ULID) -> int:
        """Return the number of artifacts right below."""
        return await self.session.scalar(select(func.count()).where(Artifact.parent_id == id)) or 0

    async def level_of(self, id: ULID) -> int | None:
        """Return the level of an artifact, or `None` if there is none."""
        return await self.session.scalar(select(Artifact.level).where(Artifact.id == id))

    async def move(self, ids: Iterable[ULID], by: int) -> None:
        """Change the levels of artifacts whose ancestor moved."""
        items = list(ids)
        for start in range(0, len(items), _IDS_PER_STATEMENT):
            part = items[start : start + _IDS_PER_STATEMENT]
            values = {"level": Artifact.level + by, "updated_at": utc_now()}
            await self.session.execute(update(Artifact).where(Artifact.id.in_(part)).values(values))

    async def find_for_update(self, id: ULID) -> Artifact | None:
        """Return the artifact as it is stored now, locked until the transaction ends, and its tree with it."""
        await self.lock_tree(alone=True)
        return await super().find_for_update(id)

    async def lock_tree(self, *, alone: bool) -> None:
        """Keep others from changing the shape of trees until the transaction ends; SQLite has one writer anyway.

        Args:
            alone: Whether nobody else may even add to a tree.
        """
        if self.dialect == "postgresql":
            lock = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
            await self.session.execute(select(lock(_TREE_LOCK)))

    async def list(self, query: Query) -> Sequence[Artifact]:
        """Return the artifacts that `query` asks for, by its order, then by id."""
        return await super().list(_in_columns(query))

    async def count(self, query: Query | None = None) -> int:
        """Return the number of artifacts that meet the filters of `query`."""
        return await super().count(None if query is None else _in_columns(query))

    async def list_raw(self, query: Query) -> Sequence[RawArtifact]:
        """Return what the wire needs of the artifacts that `query` asks for."""
        columns = cast("Select[Any]", select(*WIRE_COLUMNS))
        statement = apply_query(columns, Artifact, _in_columns(query), self.dialect)
        return raw_artifacts((await self.session.execute(statement)).all())


def _below(start_id: ULID) -> CTE:
    start = select(Artifact.id, literal(0).label("distance")).where(Artifact.id == start_id)
    tree = start.cte("below", recursive=True)
    step = select(Artifact.id, tree.c.distance + 1).where(Artifact.parent_id == tree.c.id, _bounded(tree))
    return tree.union(step)


def _above(start_id: ULID) -> CTE:
    start = select(Artifact.id, Artifact.parent_id, literal(0).label("distance")).where(Artifact.id == start_id)
    path = start.cte("above", recursive=True)
    step = select(Artifact.id, Artifact.parent_id, path.c.distance + 1).where(
        Artifact.id == path.c.parent_id, _bounded(path)
    )
    return path.union(step)


def _bounded(tree: CTE) -> ColumnElement[bool]:
    # Even a tree that was damaged by hand comes to an end.
    return tree.c.distance < MAX_DEPTH - 1


def _in_columns(query: Query) -> Query:
    """Paths are those of the wire, where four of the columns stand inside of `data`."""
    return replace(
        query,
        filters=tuple(replace(item, path=_column_path(item.path)) for item in query.filters),
        sort=tuple(replace(item, path=_column_path(item.path)) for item in query.sort),
    )


def _column_path(path: tuple[str, ...]) -> tuple[str, ...]:
    if len(path) > 1 and path[0] == "data" and path[1] in _DATA_COLUMNS:
        return (_DATA_COLUMNS[path[1]], *path[2:])
    return path

"""Jobs that something else still needs."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.ids import ULID


class JobReferences:
    """Port: features whose rows come from jobs add the query that selects the identifiers of those jobs."""

    def __init__(self) -> None:
        self.queries: list[Select[Any]] = []

    def add(self, query: Select[Any]) -> None:
        """Keep every job whose identifier the only column of `query` holds."""
        self.queries.append(query)

    async def among(self, session: AsyncSession, job_ids: Sequence[ULID]) -> set[ULID]:
        """Return those of the jobs that are needed."""
        needed: set[ULID] = set()
        for query in self.queries:
            column = query.selected_columns[0]
            needed.update((await session.scalars(query.where(column.in_(job_ids)))).all())
        return needed

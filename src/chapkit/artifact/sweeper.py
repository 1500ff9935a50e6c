"""Blobs that no row names any more."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.artifact.storage import ContentStorage
from chapkit.artifact.stores import DatabaseBlobStore
from chapkit.core.clock import Clock, SystemClock
from chapkit.core.faults import reach
from chapkit.core.logging import get_logger
from chapkit.core.services import Services

GRACE = timedelta(hours=1)
"""A blob is written before the row that names it, so a young one may still get its row."""
INTERVAL = 3600.0
_BATCH = 500


class BlobSweeper:
    """Deletes unnamed blobs, at the start and then every hour.

    Args:
        referenced: Queries of one column each, which select the names that are in use.
    """

    name = "blob-sweeper"

    def __init__(
        self,
        services: Services,
        storage: ContentStorage,
        referenced: Sequence[Select[Any]],
        clock: Clock | None = None,
    ) -> None:
        self._services = services
        self._storage = storage
        self._referenced = referenced
        self._clock = clock or SystemClock()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            removed = await self.sweep()
            if removed:
                get_logger("chapkit.artifact").info("blobs.swept", removed=removed)
            await asyncio.sleep(INTERVAL)

    async def sweep(self) -> int:
        """Delete what is old and unnamed, and return how many blobs that were."""
        moment = self._clock.now() - GRACE
        async with self._services.scope.read(scan=True) as scope:
            small = await DatabaseBlobStore(scope.session).list_older_than(moment)
        removed = 0
        for batch in _batches(small):
            removed += await self._sweep_database(batch, moment)
        for batch in _batches(await self._storage.large.list_older_than(moment)):
            async with self._services.scope.read() as scope:
                unnamed = await self._unnamed(scope.session, batch)
            for sha256 in unnamed:
                reach("sweep.before-file")
                removed += await self._storage.large.delete(sha256, moment)
                reach("sweep.after-file")
        return removed

    async def _sweep_database(self, batch: Sequence[str], moment: datetime) -> int:
        async with self._services.scope.read() as scope:
            unnamed = await self._unnamed(scope.session, batch)
        if not unnamed:
            return 0
        async with self._services.scope.write() as scope:
            store = DatabaseBlobStore(scope.session)
            reach("sweep.before-rows")
            # Asked again, because only a writer sees what nobody can change any more.
            return sum([await store.delete(sha256, moment) for sha256 in await self._unnamed(scope.session, unnamed)])

    async def _unnamed(self, session: AsyncSession, names: Sequence[str]) -> Sequence[str]:
        left = set(names)
        for query in self._referenced:
            column = query.selected_columns[0]
            left.difference_update((await session.scalars(query.where(column.in_(names)))).all())
        return sorted(left)


def _batches(names: Sequence[str]) -> Sequence[Sequence[str]]:
    return [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]

"""One campaign on an empty database, and the verdict."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from chapkit.artifact.feature import ArtifactFeature
from chapkit.artifact.ports import BlobReferences
from chapkit.artifact.storage import ContentStorage
from chapkit.artifact.sweeper import BlobSweeper
from chapkit.core.clock import utc_now
from chapkit.core.database import Database
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from tests.faults.campaign import PROCESSES, Campaign, Plan, Tally
from tests.faults.fleet import Fleet
from tests.faults.invariants import find_violations, gather_facts


class _Tomorrow:
    def now(self) -> datetime:
        return utc_now() + timedelta(days=1)


def try_out(url: str, folder: Path, plans: Iterable[Plan], seed: int, processes: int = PROCESSES) -> Tally:
    """Strike by the plans; the tally tells of everything that is not as it must be."""
    with Fleet(url, folder) as fleet:
        tally = Campaign(fleet, plans, seed, processes).run()
    asyncio.run(_judge(url, folder / "data", tally))
    return tally


async def _judge(url: str, data_dir: Path, tally: Tally) -> None:
    database = (SqliteDatabase if url.startswith("sqlite") else Database)(url, data_dir=data_dir)
    try:
        await _sweep(database)
        facts = await gather_facts(database)
    finally:
        await database.dispose()
    tally.problems += find_violations(facts, tally.accepted)
    tally.outcomes.update(row["outcome"] for rows in facts.attempts.values() for row in rows)


async def _sweep(database: Database) -> None:
    """Sweep as it is done a day later: what was put aside half-way comes back first and goes with the second."""
    services = Services()
    services.add(Database, database)
    ArtifactFeature().register(services)
    storage, references = services.get(ContentStorage), services.get(BlobReferences)
    for _ in range(2):
        await BlobSweeper(services, storage, references.queries, _Tomorrow()).sweep()

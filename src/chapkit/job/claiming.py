"""Take the next jobs: in the order of their priority, then of their submission."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, String, bindparam, func, select

from chapkit.core.direct import Direct, DirectSession, Row, is_on_sqlite
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.job import statements
from chapkit.job.claims import Claim
from chapkit.job.ledger import JobLedger

DEFAULT_QUEUE = "default"
LEASE = timedelta(seconds=10)
_SUSPECTS_AT_ONCE = 1
_LOCK = Direct(
    select(
        func.pg_try_advisory_xact_lock(
            func.hashtextextended(bindparam("p_what", type_=String()), 0, type_=BigInteger())
        ).label("is_mine")
    )
)
_LOCK_TRIES, _LOCK_PAUSE = 10, 0.01
"""Who counts is done within milliseconds; one that is not may be stopped, and must not hold up everything else."""


@dataclass(frozen=True)
class Queue:
    """Where jobs wait in order."""

    name: str = DEFAULT_QUEUE
    limit: int | None = None
    """How many of its jobs may run at once, in all processes together."""


@dataclass(frozen=True)
class Wanted:
    """What a process would take now."""

    owner: str
    number: int
    """At most so many jobs."""
    takes_suspects: bool = True
    """False while a suspect runs in this process, so that a death of it names the culprit."""


class JobClaims:
    """Takes jobs in the transaction of a session."""

    def __init__(self, session: DirectSession, now: datetime, asked: statements.ClaimStatements) -> None:
        self._session = session
        self._now = now
        self._asked = asked
        self._ledger = JobLedger(session, now)
        self.missed = False
        """True once there was room for a job, and nothing that could be taken, or nobody who could tell."""

    async def claim(self, queue: Queue, wanted: Wanted) -> list[Claim]:
        """Take the next jobs of a queue."""
        number = await self._room(queue, wanted.number)
        if number < 1:
            return []
        parameters = {**claimable(queue.name, wanted, self._now), "p_limit": number}
        candidates = await self._asked.candidates.fetch(self._session, parameters)
        self.missed |= not candidates
        rows = [await self._take(job_id, wanted.owner) for job_id in await self._choose(candidates)]
        taken = [row for row in rows if row is not None]
        await self._ledger.add_status_events(taken)
        if taken:
            reach("job.claim.before-commit")
        keyed = {row["id"] for row in candidates if row["concurrency_key"] is not None}
        has_limit = queue.limit is not None
        return [Claim.from_row(row, wanted.owner, is_limited=has_limit or row["id"] in keyed) for row in taken]

    async def _room(self, queue: Queue, number: int) -> int:
        if queue.limit is None or number < 1:
            return number
        if not await self._lock(f"queue:{queue.name}"):
            return 0
        row = await statements.COUNT_RUNNING_IN_QUEUE.first(self._session, {"p_queue": queue.name})
        return min(number, queue.limit - (row["number"] if row else 0))

    async def _choose(self, candidates: Sequence[Row]) -> list[str]:
        """Return those that can run beside each other and beside those that run already."""
        keyed = [row for row in candidates if row["concurrency_key"] is not None]
        limits = {row["concurrency_key"]: row["concurrency_limit"] for row in keyed}
        running: Counter[str | None] = Counter()
        unknown: set[str] = set()
        for key in sorted(limits):
            if not await self._lock(f"key:{key}"):
                unknown.add(key)
                continue
            row = await statements.COUNT_RUNNING_WITH_KEY.first(self._session, {"p_key": key})
            running[key] = row["number"] if row else 0
        chosen: list[str] = []
        suspects = 0
        for row in candidates:
            key = row["concurrency_key"]
            if row["suspicions"] and suspects >= _SUSPECTS_AT_ONCE:
                continue
            if key is not None and (key in unknown or running[key] >= row["concurrency_limit"]):
                continue
            suspects += bool(row["suspicions"])
            running[key] += 1
            chosen.append(row["id"])
        return chosen

    async def _take(self, job_id: str, owner: str) -> Row | None:
        values = {
            "p_job_id": ULID.trusted(job_id),
            "p_owner": owner,
            "p_now": self._now,
            "p_lease_until": self._now + LEASE,
        }
        return await statements.TAKE.first(self._session, values)

    async def _lock(self, what: str) -> bool:
        # SQLite has one writer at a time anyway; elsewhere two processes could count at the same moment.
        if is_on_sqlite(self._session):
            return True
        for _ in range(_LOCK_TRIES):
            [row] = await _LOCK.fetch(self._session, {"p_what": f"chapkit:job:{what}"})
            if row["is_mine"]:
                return True
            await asyncio.sleep(_LOCK_PAUSE)
        self.missed = True
        return False


def claimable(queue: str, wanted: Wanted, now: datetime) -> dict[str, Any]:
    """Return the parameters that say which jobs of a queue a process may take."""
    return {"p_queue": queue, "p_owner": wanted.owner, "p_suspects": wanted.takes_suspects, "p_now": now}

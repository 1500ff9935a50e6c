"""Every order in which three processes can do, lose and take over two jobs, on the real statements."""

import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import delete, select

from chapkit.core.ids import ULID
from chapkit.job.claims import Fence
from chapkit.job.endings import Ending, Outcome
from chapkit.job.errors import StaleAttemptError
from chapkit.job.rows import JOBS, OWNERS
from chapkit.job.schemas import JobSpec, JobStatus
from chapkit.job.specs import row_of
from tests.unit.job.ground import COLUMNS, Ground, Picture
from tests.unit.job.parts import Double

_DEPTH = 12 if os.environ.get("CHAPKIT_FUZZ") else 6
_JOBS = 2
_SLOTS = 2
_FINAL = ("completed", "failed", "canceled")
_OUTCOME = COLUMNS[1].index("outcome")
_FENCE = tuple(COLUMNS[0].index(name) for name in ("id", "attempt", "owner", "status"))
_COMPLETED = Ending(status=JobStatus.COMPLETED, outcome=Outcome.COMPLETED)


@dataclass(frozen=True)
class Process:
    """What one process knows of itself; it may be wrong."""

    owner: str
    lives: bool = True
    holds: tuple[Fence, ...] = ()
    starts: int = 1


class Place(NamedTuple):
    """The rows, and what each process believes."""

    rows: Picture
    processes: tuple[Process, ...]


Step: TypeAlias = Callable[["Explorer", Place, int], Awaitable[Process]]


def _owner(process: int, start: int) -> str:
    return str(ULID(f"{start:013d}{process:013d}"))


class Explorer:
    """Takes every step from every place, up to a number of steps from the first one."""

    def __init__(self, ground: Ground, depth: int = _DEPTH) -> None:
        self.ground = ground
        self.depth = depth
        self.steps = 0
        self.refused = 0
        self.seen: set[Any] = set()
        self.outcomes: set[str] = set()

    async def explore(self) -> None:
        """Go everywhere, and see that everything is in order there."""
        waiting: deque[tuple[Place, int]] = deque([(await self._first(), 0)])
        while waiting:
            place, depth = waiting.popleft()
            await self.ground.restore(place.rows)
            for number, step in _steps(place):
                await self.ground.execute("SAVEPOINT step")
                there = await self._go(place, number, step)
                if (essence := _essence(there)) not in self.seen:
                    self.seen.add(essence)
                    self._check(there)
                    if depth + 1 < self.depth:
                        waiting.append((there, depth + 1))
                    else:
                        await self._end_all(there)
                await self.ground.execute("ROLLBACK TO step")
                await self.ground.execute("RELEASE step")

    async def _first(self) -> Place:
        processes = tuple(Process(_owner(number, 1)) for number in range(3))
        for number in range(_JOBS):
            spec = JobSpec(handler=Double.name, id=ULID(f"{number:026d}"))
            await self.ground.ledger.insert(row_of(spec, Double(), self.ground.clock.now(), None))
        for process in processes:
            await self.ground.enter(process.owner)
        return Place(await self.ground.picture(), processes)

    async def _go(self, place: Place, number: int, step: Step) -> Place:
        self.steps += 1
        after = await step(self, place, number)
        processes = (*place.processes[:number], after, *place.processes[number + 1 :])
        rows = await self.ground.picture()
        self.outcomes.update(attempt[_OUTCOME] for attempt in rows[1])
        return Place(rows, processes)

    async def claim(self, place: Place, number: int) -> Process:
        process = place.processes[number]
        claims = await self.ground.claim(process.owner)
        return replace(process, holds=(*process.holds, *(claim.fence for claim in claims)))

    async def finish_first(self, place: Place, number: int) -> Process:
        """Record the result of the claim that it has made first."""
        return await self._finish(place, number, 0)

    async def finish_last(self, place: Place, number: int) -> Process:
        """Record the result of the claim that it has made last."""
        return await self._finish(place, number, -1)

    async def _finish(self, place: Place, number: int, which: int) -> Process:
        process = place.processes[number]
        fence = process.holds[which]
        is_right = _holds(place.rows, fence)
        try:
            await self.ground.ledger.end(fence, _COMPLETED, b'"done"')
        except StaleAttemptError:
            assert not is_right
            self.refused += 1
        else:
            assert is_right
        return replace(process, holds=tuple(held for held in process.holds if held is not fence))

    async def die(self, place: Place, number: int) -> Process:
        return replace(place.processes[number], lives=False, holds=())

    async def recover(self, place: Place, number: int) -> Process:
        """Be found dead by another process."""
        await self._give_back(place.processes[number].owner, Outcome.RECOVERED)
        return place.processes[number]

    async def take_over(self, place: Place, number: int) -> Process:
        """Be taken for dead, and know nothing of it."""
        await self._give_back(place.processes[number].owner, Outcome.TAKEN_OVER)
        return place.processes[number]

    async def start(self, place: Place, number: int) -> Process:
        """Come in again as another owner: after a death, or because the row of this one is gone."""
        process = place.processes[number]
        after = Process(_owner(number, process.starts + 1), starts=process.starts + 1)
        await self.ground.enter(after.owner)
        return after

    async def sweep(self, place: Place, number: int) -> Process:
        """See to the jobs of those who have no row."""
        ownerless = (JOBS.c.status == "running") & JOBS.c.owner.not_in(select(OWNERS.c.id))
        await self.ground.ledger.give_back(ownerless, Outcome.RELEASED)
        return place.processes[number]

    async def _give_back(self, owner: str, outcome: Outcome) -> None:
        await self.ground.ledger.give_back(JOBS.c.owner == owner, outcome)
        await self.ground.session.execute(delete(OWNERS).where(OWNERS.c.id == owner))

    def _check(self, place: Place) -> None:
        jobs, attempts, events, _ = (_dicts(rows, table) for rows, table in zip(place.rows, COLUMNS, strict=True))
        held = [fence for process in place.processes for fence in process.holds if _holds(place.rows, fence)]
        assert len({fence.job_id for fence in held}) == len(held), "two processes hold one job"
        assert len(jobs) == _JOBS, "a job is lost"
        for job in jobs:
            assert (job["status"] == "running") == (job["owner"] is not None)
            ended = [row for row in attempts if row["job_id"] == job["id"]]
            assert [row["number"] for row in ended] == list(range(1, len(ended) + 1))
            assert len(ended) == job["attempt"] - (job["status"] == "running")
            assert [row["outcome"] for row in ended].count("completed") == (job["status"] == "completed")
            assert (job["result"] is not None) == (job["status"] == "completed")
            told = [row for row in events if row["job_id"] == job["id"]]
            assert [row["number"] for row in told] == list(range(1, job["events"] + 1)), "a gap"

    async def _end_all(self, place: Place) -> None:
        """See that everything comes to an end when all processes die now and another one starts."""
        open_jobs = [job["id"] for job in _dicts(place.rows[0], COLUMNS[0]) if job["status"] not in _FINAL]
        await self.ground.ledger.give_back(JOBS.c.status == "running", Outcome.RECOVERED)
        owner, ended = "Z" * 26, []
        # Suspects come one at a time.
        while claims := await self.ground.claim(owner, _JOBS):
            for claim in claims:
                await self.ground.ledger.end(claim.fence, _COMPLETED, b'"done"')
                ended.append(claim.fence.job_id)
        assert sorted(ended) == sorted(open_jobs)


def _steps(place: Place) -> Iterator[tuple[int, Step]]:
    """Return what each of the processes can do, or what can be done to it."""
    present = {row[0] for row in place.rows[3]}
    for number, process in enumerate(place.processes):
        is_present = process.owner in present
        if not is_present:
            yield number, Explorer.start
        if not process.lives:
            if is_present:
                yield number, Explorer.recover
            continue
        yield number, Explorer.die
        if len(process.holds) < _SLOTS:
            yield number, Explorer.claim
        if process.holds:
            yield number, Explorer.finish_first
        if len(process.holds) > 1:
            yield number, Explorer.finish_last
        yield number, Explorer.take_over if is_present else Explorer.sweep


def _dicts(rows: Sequence[tuple[Any, ...]], names: Sequence[str]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _holds(rows: Picture, fence: Fence) -> bool:
    wanted = (fence.job_id, fence.attempt, fence.owner, "running")
    return any(tuple(job[place] for place in _FENCE) == wanted for job in rows[0])


def _essence(place: Place) -> Any:
    """Return what makes a place another one; which of the processes did what does not matter."""
    jobs = _dicts(place.rows[0], COLUMNS[0])
    present = {row[0] for row in place.rows[3]}
    beliefs = [
        (process.lives, process.owner in present, tuple(_relative(fence, jobs) for fence in process.holds))
        for process in place.processes
    ]
    return min(
        (
            tuple(
                (job["status"], job["attempt"], job["suspicions"], _index(job["owner"], order, place)) for job in jobs
            ),
            tuple(beliefs[number] for number in order),
        )
        for order in permutations(range(3))
    )


def _index(owner: str | None, order: Sequence[int], place: Place) -> int:
    owners = [place.processes[number].owner for number in order]
    return -2 if owner is None else owners.index(owner) if owner in owners else -1


def _relative(fence: Fence, jobs: Sequence[dict[str, Any]]) -> tuple[int, int, bool]:
    place = [job["id"] for job in jobs].index(fence.job_id)
    return place, fence.attempt, jobs[place]["owner"] == fence.owner


def test_no_order_of_claims_deaths_and_late_ends_loses_a_job_or_records_two_results(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    try:
        explorer = Explorer(ground)
        ground.run(explorer.explore())
    finally:
        ground.close()
    assert len(explorer.seen) > 1000
    assert explorer.refused > 100
    assert explorer.outcomes == {"completed", "recovered", "taken-over", "released"}

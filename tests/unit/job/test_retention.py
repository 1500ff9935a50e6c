import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from chapkit.artifact.feature import ArtifactFeature
from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.ports import BlobReferences
from chapkit.artifact.storage import ContentStorage
from chapkit.artifact.stores import BlobStore
from chapkit.artifact.sweeper import BlobSweeper
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.janitor import JobJanitor
from chapkit.job.references import JobReferences
from chapkit.job.retention import Retention
from chapkit.job.rows import ATTEMPTS, EVENTS, JOBS
from tests.unit.job.parts import PATIENCE, SteppedClock

pytestmark = pytest.mark.anyio
NOW = datetime(2030, 1, 1, tzinfo=UTC)
FOR_EVER: dict[str, Any] = {"age": None, "count": None}


@dataclass(frozen=True)
class Store:
    """A database with artifacts and jobs that ended some days ago."""

    services: Services
    clock: SteppedClock = field(default_factory=SteppedClock)

    def janitor(self, **retention: Any) -> JobJanitor:
        return JobJanitor(self.services, self.clock, Retention(**{**FOR_EVER, **retention}))

    async def add(self, days: float, *, status: str = "completed", events: int = 2, **values: Any) -> ULID:
        job_id = ULID()
        ended = NOW - timedelta(days=days)
        row = {"id": job_id, "handler": "h", "kind": "h", "status": status, "attempt": 1, "events": events}
        told = [
            {"job_id": job_id, "number": number, "kind": "log", "data": "{}", "created_at": ended}
            for number in range(1, events + 1)
        ]
        async with self.services.scope.write() as scope:
            is_final = status not in ("pending", "running")
            await scope.session.execute(
                insert(JOBS).values({**row, "finished_at": ended if is_final else None, "run_after": ended, **values})
            )
            if told:
                await scope.session.execute(insert(EVENTS), told)
            await scope.session.execute(
                insert(ATTEMPTS).values(job_id=job_id, number=1, owner="o", started_at=ended, finished_at=ended)
            )
        return job_id

    async def left(self) -> set[ULID]:
        async with self.services.scope.read() as scope:
            return set((await scope.session.scalars(select(JOBS.c.id))).all())

    async def rows(self) -> tuple[int, int]:
        """Return the numbers of attempts and events."""
        async with self.services.scope.read() as scope:
            counts = [
                await scope.session.scalar(select(func.count()).select_from(table)) for table in (ATTEMPTS, EVENTS)
            ]
        return counts[0] or 0, counts[1] or 0


@pytest.fixture
def store(database: Database) -> Store:
    services = Services()
    services.add(Database, database)
    ArtifactFeature().register(services)
    return Store(services)


@pytest.mark.parametrize(
    ("settings", "age", "events_age"),
    [
        ({}, timedelta(days=90), None),
        ({"age": "30d", "events_age": "12h"}, timedelta(days=30), timedelta(hours=12)),
        ({"age": " 2 w ", "events_age": "90s"}, timedelta(weeks=2), timedelta(seconds=90)),
        ({"age": timedelta(hours=1), "events_age": "5m"}, timedelta(hours=1), timedelta(minutes=5)),
        ({"age": None, "count": None}, None, None),
    ],
)
def test_durations_are_given_as_text_or_as_such(
    settings: dict[str, Any], age: timedelta | None, events_age: timedelta | None
) -> None:
    retention = Retention(**settings)
    assert (retention.longest, retention.longest_for_events) == (age, events_age)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"age": "soon"}, "age"),
        ({"age": "0d"}, "age"),
        ({"age": timedelta(0)}, "age"),
        ({"age": "99999999w"}, "age"),
        ({"events_age": "1.5d"}, "events_age"),
        ({"age": 5}, "age"),
        ({"events_age": 1.5}, "events_age"),
        ({"count": -1}, "count"),
        ({"count": 1.5}, "count"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Retention(**settings)
    assert (raised.value.code, raised.value.extensions["field"]) == ("retention-invalid", named)


def test_settings_are_shown_in_seconds() -> None:
    assert Retention(age="2d", count=7).describe() == {"age_seconds": 172800.0, "count": 7, "events_age_seconds": None}
    assert Retention(age=None, events_age="1m").describe()["events_age_seconds"] == 60.0


async def test_jobs_that_ended_too_long_ago_go_with_attempts_and_events(store: Store) -> None:
    for status in ("completed", "failed", "canceled"):
        await store.add(31, status=status)
    young = await store.add(29)
    assert await store.janitor(age="30d").clean() == 3
    assert await store.left() == {young}
    assert await store.rows() == (1, 2)
    assert await store.janitor(age="30d").clean() == 0


async def test_jobs_that_have_not_ended_stay_however_old(store: Store) -> None:
    waiting = {await store.add(1000, status=status) for status in ("pending", "running")}
    assert await store.janitor(age="1s", count=0, events_age="1s").clean() == 0
    assert await store.left() == waiting
    assert await store.rows() == (2, 4)


async def test_nothing_goes_when_nothing_is_limited(store: Store) -> None:
    await store.add(10_000)
    assert await store.janitor().clean() == 0


async def test_the_oldest_go_when_there_are_too_many(store: Store) -> None:
    jobs = [await store.add(days) for days in (5, 4, 3, 2, 1)]
    assert await store.janitor(count=5).clean() == 0
    assert await store.janitor(count=2).clean() == 3
    assert await store.left() == set(jobs[3:])
    assert await store.janitor(count=0).clean() == 2


async def test_those_that_ended_in_the_same_moment_are_told_apart(store: Store) -> None:
    jobs = sorted([await store.add(1) for _ in range(4)])
    assert await store.janitor(count=3).clean() == 1
    assert await store.left() == set(jobs[1:])


@pytest.mark.parametrize(("age", "count", "left"), [("3d", 4, 2), ("30d", 1, 1)])
async def test_the_stricter_one_of_age_and_number_decides(store: Store, age: str, count: int, left: int) -> None:
    for days in (5, 4, 2, 1):
        await store.add(days)
    await store.janitor(age=age, count=count).clean()
    assert len(await store.left()) == left


async def test_a_job_stays_as_long_as_the_artifact_that_came_from_it(store: Store) -> None:
    async with store.services.scope.write() as scope:
        artifact = await scope.get(ArtifactManager).store("a model")
    made = await store.add(400, artifact_id=artifact.id)
    await store.add(400, artifact_id=ULID())
    await store.add(400)
    janitor = store.janitor(age="30d")
    assert await janitor.clean() == 2
    assert await store.left() == {made}
    assert await janitor.clean() == 0
    async with store.services.scope.write() as scope:
        await scope.get(ArtifactManager).delete_by_id(artifact.id)
    assert await janitor.clean() == 1


async def test_a_job_that_ended_with_the_result_of_another_one_does_not_stay_for_the_artifact(store: Store) -> None:
    async with store.services.scope.write() as scope:
        artifact = await scope.get(ArtifactManager).store("a result")
    made = await store.add(400, artifact_id=artifact.id, labels={"cache": "miss"})
    other = await store.add(400, artifact_id=artifact.id)
    # The last two were in the queue already when the result came, and had to start to find it.
    await store.add(400, artifact_id=artifact.id, labels={"cache": "hit"})
    await store.add(1, artifact_id=artifact.id, labels={"cache": "hit"})
    assert await store.janitor(age="30d").clean() == 1
    assert await store.janitor(count=0).clean() == 1
    assert await store.left() == {made, other}


async def test_a_job_that_was_run_again_stays_for_the_artifact_of_an_earlier_run(store: Store) -> None:
    async with store.services.scope.write() as scope:
        artifact = await scope.get(ArtifactManager).store("a failure")
    made = await store.add(400, artifact_id=ULID(), labels={"earlier_artifacts": [str(ULID()), str(artifact.id)]})
    await store.add(400, artifact_id=ULID(), labels={"earlier_artifacts": [str(ULID())]})
    # Names the artifact for another reason.
    await store.add(400, labels={"model_id": str(artifact.id)})
    assert await store.janitor(count=1).clean() == 1
    assert await store.janitor(age="30d").clean() == 1
    assert await store.left() == {made}
    async with store.services.scope.write() as scope:
        await scope.get(ArtifactManager).delete_by_id(artifact.id)
    assert await store.janitor(age="30d").clean() == 1


async def test_jobs_that_artifacts_need_do_not_count(store: Store) -> None:
    async with store.services.scope.write() as scope:
        artifacts = [await scope.get(ArtifactManager).store(f"model {number}") for number in range(3)]
    made = {await store.add(1, artifact_id=artifact.id) for artifact in artifacts}
    others = [await store.add(days) for days in (4, 3, 2)]
    assert await store.janitor(count=3).clean() == 0
    assert await store.janitor(count=2).clean() == 1
    assert await store.left() == {*made, *others[1:]}


async def test_what_becomes_needed_in_the_last_moment_stays(store: Store) -> None:
    job = await store.add(400)
    references = store.services.get(JobReferences)

    class Late(JobReferences):
        asked = 0

        async def among(self, session: Any, job_ids: Any) -> set[ULID]:
            self.asked += 1
            return set() if self.asked == 1 else {job}

    late = Late()
    late.queries = references.queries
    store.services.add(JobReferences, late)
    assert await store.janitor(age="30d").clean() == 0
    assert await store.left() == {job}


async def test_what_is_run_again_in_the_last_moment_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await store.add(400)
    listed = JobReferences.among

    async def among(self: JobReferences, session: Any, job_ids: Any) -> set[ULID]:
        monkeypatch.undo()
        async with store.services.scope.write() as scope:
            await scope.session.execute(update(JOBS).values(status="pending", finished_at=None))
        return await listed(self, session, job_ids)

    monkeypatch.setattr(JobReferences, "among", among)
    assert await store.janitor(age="30d").clean() == 0
    assert await store.left() == {job}


async def test_many_jobs_and_jobs_of_many_events_go_in_small_steps(store: Store) -> None:
    for events in (1050, 0, 99, 100, 101, 3):
        await store.add(50, events=events)
    for _ in range(60):
        await store.add(40, events=3)
    assert await store.janitor(age="30d").clean() == 66
    assert await store.rows() == (0, 0)


async def test_steps_become_smaller_where_they_take_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chapkit.job.janitor._LONG", -1.0)
    for _ in range(30):
        await store.add(40, events=8)
    steps: list[int] = []
    listed = JobReferences.among

    async def among(self: JobReferences, session: Any, job_ids: Any) -> set[ULID]:
        steps.append(len(job_ids))
        return await listed(self, session, job_ids)

    monkeypatch.setattr(JobReferences, "among", among)
    assert await store.janitor(age="30d").clean() == 30
    # Ten rows for each job: all that are listed, then a hundred rows, then half as many, down to twenty.
    assert steps == [30, 10, 5, 2, 2, 2, 2, 2, 2, 2, 1]


async def test_a_long_list_is_walked_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chapkit.job.janitor._MOST_LISTED", 3)
    for number in range(10):
        await store.add(40 - number % 4)
    kept = await store.add(1)
    assert await store.janitor(age="30d").clean() == 10
    assert await store.left() == {kept}


async def test_events_may_go_before_their_job(store: Store) -> None:
    old = await store.add(8, events=150)
    young = await store.add(6)
    janitor = store.janitor(events_age="7d")
    assert await janitor.clean() == 0
    assert await store.left() == {old, young}
    assert await store.rows() == (2, 2)
    store.clock.move(2 * 86400)
    await janitor.clean()
    assert await store.rows() == (2, 0)
    await store.janitor(events_age="7d").clean()


async def test_several_janitors_at_once_do_no_more_than_one(store: Store) -> None:
    jobs = [await store.add(60 - days) for days in range(40)]
    removed = await asyncio.gather(*(store.janitor(count=10).clean() for _ in range(4)))
    assert sum(removed) == 30
    assert await store.left() == set(jobs[30:])


async def test_the_payload_of_a_removed_job_is_swept_when_it_is_old_enough(store: Store) -> None:
    queries = store.services.get(BlobReferences).queries

    def sweeper(ahead: timedelta) -> BlobSweeper:
        clock = SteppedClock(datetime.now(UTC) + ahead)
        return BlobSweeper(store.services, store.services.get(ContentStorage), queries, clock)

    # Other tests share the database, and may have left contents that nobody needs.
    await sweeper(timedelta(hours=2)).sweep()
    async with store.services.scope.write() as scope:
        blob = (await scope.get(BlobStore).put(b"payload")).sha256
    large = (await store.services.get(ContentStorage).large.put(b"x" * 100_000)).sha256
    await store.add(400, payload_blob=blob)
    await store.add(400, payload_blob=large)
    assert await sweeper(timedelta(hours=2)).sweep() == 0
    assert await store.janitor(age="30d").clean() == 2
    assert await sweeper(timedelta(minutes=30)).sweep() == 0
    assert await sweeper(timedelta(hours=2)).sweep() == 2


async def test_the_worker_cleans_again_and_again_whatever_goes_wrong(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned = asyncio.Event()
    results: list[Any] = [UnavailableError(), ConnectionError(), 0, 0]

    async def clean() -> int:
        result = results.pop(0)
        if not results:
            cleaned.set()
        if isinstance(result, Exception):
            raise result
        return 0

    janitor = JobJanitor(store.services, store.clock, Retention(), interval=0, first_pause=0)
    monkeypatch.setattr(janitor, "clean", clean)
    task = asyncio.create_task(janitor.run())
    try:
        await asyncio.wait_for(cleaned.wait(), PATIENCE)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert janitor.name == "job-retention"

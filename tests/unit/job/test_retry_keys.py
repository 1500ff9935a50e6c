import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from chapkit.core.database import Database
from chapkit.core.errors import ConflictError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.errors import JobNotFoundError
from chapkit.job.granted import KeyedRequest
from chapkit.job.schemas import JobRecord, Revision
from tests.unit.job.parts import Failing, JobSystem, happens, job_system

pytestmark = pytest.mark.anyio


async def _failed(system: JobSystem) -> JobRecord:
    return await system.finished((await system.submit("test.failing", {"value": 1})).id)


async def test_a_repeated_wish_with_the_same_key_runs_a_job_again_once(database: Database) -> None:
    async with job_system(database, Failing([ValueError(), ValueError()])) as system:
        job = await _failed(system)
        await system.jobs.retry(job.id, key="a")
        again = await system.finished(job.id)
        # It has failed once more; without the key that would be a wish of its own.
        assert await system.jobs.retry(job.id, key="a") == again
        assert again.attempt == 2
        await system.jobs.retry(job.id, key="b")
        done = await system.completed(job.id)
        for key in ("a", "b"):
            assert await system.jobs.retry(job.id, key=key) == done
        assert done.attempt == 3


async def test_another_payload_under_the_same_key_is_refused(database: Database) -> None:
    async with job_system(database, Failing([ValueError()])) as system:
        job = await _failed(system)
        await system.jobs.retry(job.id, {"value": 2, "more": [1]}, key="schlüssel")
        done = await system.completed(job.id)
        assert await system.jobs.retry(job.id, {"more": [1], "value": 2}, key="schlüssel") == done
        payloads: tuple[Any, ...] = (None, {}, {"value": 3})
        for payload in payloads:
            with pytest.raises(ConflictError) as refused:
                await system.jobs.retry(job.id, payload, key="schlüssel")
            assert (refused.value.code, refused.value.extensions["found"]) == ("idempotency-key-reused", "schlüssel")
        with pytest.raises(ConflictError) as refused:
            await system.jobs.retry(job.id, key="a new one")
        assert refused.value.code == "job-completed"
        with pytest.raises(JobNotFoundError):
            await system.jobs.retry(ULID(), key="schlüssel")


async def test_equal_wishes_at_the_same_time_are_one(database: Database) -> None:
    async with job_system(database, Failing([ValueError() for _ in range(5)])) as system:
        job = await _failed(system)
        records = await asyncio.gather(*(system.jobs.retry(job.id, {"value": 2}, key="once") for _ in range(8)))
        assert {record.id for record in records} == {job.id}
        await system.finished(job.id)
        assert await system.outcomes(job.id) == ["failed", "failed"]


async def test_what_was_granted_while_a_new_payload_was_checked_is_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    checking, go = asyncio.Event(), asyncio.Event()

    async def revise(handler: Failing, services: Services, stored: Revision, given: Mapping[str, Any]) -> Revision:
        checking.set()
        await go.wait()
        return replace(stored, payload=given, labels={**stored.labels, "revised": True})

    monkeypatch.setattr(Failing, "revise", revise)
    async with job_system(database, Failing([ValueError(), ValueError()])) as system:
        job = await _failed(system)
        first = asyncio.create_task(system.jobs.retry(job.id, {"value": 2}, key="a"))
        await happens(checking)
        await system.jobs.retry(job.id, key="b")
        assert (await system.finished(job.id)).attempt == 2
        go.set()
        await first
        done = await system.completed(job.id)
        for payload, key in (({"value": 2}, "a"), (None, "b")):
            assert await system.jobs.retry(job.id, payload, key=key) == done


def test_the_oldest_of_very_many_keys_is_forgotten() -> None:
    granted: list[Any] = []
    for number in range(101):
        granted = KeyedRequest(str(number), None).added_to(granted)
    assert len(granted) == 100
    assert not KeyedRequest("0", None).is_among(granted)
    assert KeyedRequest("1", None).is_among(granted)
    assert KeyedRequest("100", None).is_among(granted)

"""What a running job tells: every admitted line, and of its progress the newest."""

import threading
from typing import Any

import pytest

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.claims import Claim, Fence, Report
from chapkit.job.context import JobContext
from chapkit.job.executors.user_code import UserCode
from chapkit.job.log_budget import MAX_LINES, RESERVED_LINES
from chapkit.job.ports import JobOutcome
from tests.unit.job.parts import Scripted, job_system

pytestmark = pytest.mark.anyio


@pytest.fixture
def context() -> JobContext:
    """Return the context of a job that nobody writes down."""
    return JobContext(Claim(Fence(ULID(), 1, "2" * 26), "test.double", "{}"), Services(), UserCode())


def _told(reports: list[Report]) -> list[Any]:
    return [item.data.get("message", item.data.get("progress")) for item in reports]


def _progress(fraction: float) -> Report:
    return Report("progress", {"progress": fraction})


def _tell_in_a_loop(job: JobContext) -> None:
    for number in range(20_000):
        job.progress(number / 20_000)
        if number % 500 == 0:
            job.log(f"row {number} is wrong", level="error")


async def test_a_loop_that_tells_its_progress_loses_no_line(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        _tell_in_a_loop(context)
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        events = await system.jobs.list_events(job.id)
        lines = [event.data["message"] for event in events if event.kind == "log"]
        assert lines == [f"row {number} is wrong" for number in range(0, 20_000, 500)]
        assert [event.data["progress"] for event in events if event.kind == "progress"] == [19_999 / 20_000]


def test_of_lines_and_progress_in_turn_as_many_lines_are_kept_as_promised(context: JobContext) -> None:
    for number in range(2500):
        context.log(f"row {number}")
        context.progress(number / 2500)
    context.close_log()
    *lines, left_out, progress = context.take_reports()
    kept = MAX_LINES - RESERVED_LINES
    assert _told(lines) == [f"row {number}" for number in range(kept)]
    assert left_out.data["left_out"] == 2500 - kept
    assert progress == _progress(2499 / 2500)


def test_what_is_put_back_comes_before_what_was_told_since(context: JobContext) -> None:
    for name in ("a", "b"):
        context.log(name)
    context.progress(0.1)
    taken = context.take_reports()
    assert not context.has_reports
    context.log("c")
    context.put_back(taken)
    assert context.has_reports
    assert _told(context.take_reports()) == ["a", "b", "c", 0.1]


def test_progress_that_is_put_back_does_not_replace_newer_one(context: JobContext) -> None:
    context.progress(0.1)
    taken = context.take_reports()
    context.progress(0.2)
    context.put_back(taken)
    assert context.take_reports() == [_progress(0.2)]
    context.put_back(taken)
    assert context.has_reports
    assert context.take_reports() == taken


def test_threads_may_tell_while_somebody_takes(context: JobContext) -> None:
    threads = [threading.Thread(target=_tell_in_a_loop, args=(context,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    taken: list[Report] = []
    while any(thread.is_alive() for thread in threads):
        reports = context.take_reports()
        context.put_back(reports)
        taken += context.take_reports()
    taken += context.take_reports()
    assert len([report for report in taken if report.kind == "log"]) == 4 * 40
    assert taken[-1] == _progress(19_999 / 20_000)

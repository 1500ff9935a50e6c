"""The checker finds what it is there for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.invariants import Facts, content_name, find_violations

JOB, ARTIFACT, CONTENT = "J" * 26, "A" * 26, content_name(b"")
Break = Callable[[Facts], object]


def event(number: int, status: str, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"number": number, "kind": "status", "data": json.dumps({"status": status, "attempt": attempt, **more})}


def right_facts() -> Facts:
    facts = Facts()
    facts.jobs[JOB] = {
        "id": JOB,
        "handler": "fault.blob",
        "status": "completed",
        "attempt": 2,
        "events": 5,
        "owner": None,
        "finished_at": "now",
        "error": None,
        "error_code": None,
        "artifact_id": ARTIFACT,
        "payload": '{"number": 7}',
        "payload_blob": None,
        "result": '{"number": 7}',
    }
    facts.attempts[JOB] = [
        {"number": 1, "outcome": "recovered", "finished_at": "now"},
        {"number": 2, "outcome": "completed", "finished_at": "now"},
    ]
    steps = (("pending", 0), ("running", 1), ("pending", 1), ("running", 2), ("completed", 2))
    facts.events[JOB] = [event(place + 1, status, attempt) for place, (status, attempt) in enumerate(steps)]
    facts.marks[JOB] = [{"what": "result"}]
    facts.artifacts[ARTIFACT] = {"id": ARTIFACT, "parent_id": None, "sha256": CONTENT}
    facts.small[CONTENT] = b""
    return facts


def test_what_is_as_it_must_be_is_no_violation() -> None:
    assert violations(right_facts()) == []


def violations(facts: Facts) -> list[str]:
    return find_violations(facts, {JOB: "fault.blob"})


BREAKS: dict[str, Break] = {
    "is gone": lambda facts: facts.jobs.clear(),
    "ended in no way": lambda facts: facts.jobs[JOB].update(status="failed"),
    "ended in no way that it may": lambda facts: facts.jobs[JOB].update(status="running"),
    "finished at": lambda facts: facts.jobs[JOB].update(owner="somebody"),
    "has the attempts [1]": lambda facts: facts.attempts[JOB].pop(),
    "without an end": lambda facts: facts.attempts[JOB][0].update(finished_at=None),
    "with the outcomes": lambda facts: facts.attempts[JOB][0].update(outcome="completed"),
    "events with the numbers": lambda facts: facts.events[JOB].pop(1),
    "behind its end": lambda facts: (
        facts.events[JOB].append(event(6, "running", 3)),
        facts.jobs[JOB].update(events=6),
    ),
    "went from pending to completed": lambda facts: facts.events[JOB].__setitem__(3, event(4, "pending", 2)),
    "went from attempt 2 to 1": lambda facts: facts.events[JOB].__setitem__(4, event(5, "completed", 1)),
    "its last event says": lambda facts: (facts.events[JOB].pop(), facts.jobs[JOB].update(events=4)),
    "left the marks {'result': 2}": lambda facts: facts.marks[JOB].append({"what": "result"}),
    "left the marks {}": lambda facts: facts.marks.clear(),
    "has the result": lambda facts: facts.jobs[JOB].update(result='{"number": 8}'),
    "has an artifact without": lambda facts: facts.artifacts.clear(),
    "belongs to no job": lambda facts: facts.jobs[JOB].update(artifact_id="other"),
    "has lost its parent": lambda facts: facts.artifacts[ARTIFACT].update(parent_id="gone"),
    "is missing": lambda facts: facts.small.clear(),
    "was not swept": lambda facts: facts.small.update({"d" * 64: b""}),
    "was left behind": lambda facts: facts.strays.append(".new-0011"),
    "is not what was written": lambda facts: facts.small.update({"d" * 64: b""}),
    "SQLite": lambda facts: facts.pragmas.append("('row 3 missing from index',)"),
    "marks of a job that is not there": lambda facts: facts.marks.update({"X" * 26: [{"what": "result"}]}),
}


@pytest.mark.parametrize(("what", "broken"), BREAKS.items(), ids=BREAKS)
def test_a_violation_is_found(what: str, broken: Break) -> None:
    facts = right_facts()
    broken(facts)
    assert any(what in problem for problem in violations(facts))


def test_a_file_that_was_changed_is_found(tmp_path: Path) -> None:
    facts = Facts()
    facts.files[CONTENT] = tmp_path / CONTENT
    facts.files[CONTENT].write_bytes(b"something else")
    assert f"file {CONTENT} is not what was written" in find_violations(facts, {})

"""What must hold when everything is quiet, whatever was struck before."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pydantic_core import from_json
from sqlalchemy import Table, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.artifact.models import Artifact, Blob
from chapkit.artifact.storage import BLOBS_FOLDER
from chapkit.config.models import Config
from chapkit.core.database import Database
from chapkit.job.rows import ATTEMPTS, EVENTS, JOBS
from chapkit.link.models import ConfigArtifact
from tests.faults.jobs import ENDS, TRAIN, WITH_ARTIFACT, WITHOUT_MARK, ConfigWork, Mark

Row: TypeAlias = dict[str, Any]
FINAL = frozenset({"completed", "failed", "canceled"})
_NEXT: Mapping[str | None, frozenset[str]] = {
    None: frozenset({"pending"}),
    "pending": frozenset({"running", "canceled"}),
    "running": frozenset({"pending", *FINAL}),
}
_is_name = re.compile(r"[0-9a-f]{64}").fullmatch


@dataclass
class Facts:
    """All rows and files of a service."""

    jobs: dict[str, Row] = field(default_factory=dict)
    attempts: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    marks: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    artifacts: dict[str, Row] = field(default_factory=dict)
    configs: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    links: dict[str, str] = field(default_factory=dict)
    small: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    pragmas: list[str] = field(default_factory=list)


async def gather_facts(database: Database) -> Facts:
    """Read everything."""
    facts = Facts()
    async with database.session() as session:
        facts.jobs = {row["id"]: row for row in await _rows(session, JOBS, "id")}
        for table, kept in ((ATTEMPTS, facts.attempts), (EVENTS, facts.events)):
            for row in await _rows(session, table, "number"):
                kept[row["job_id"]].append(row)
        for row in await _rows(session, Mark, "id"):
            facts.marks[row["job_id"]].append(row)
        facts.artifacts = {row["id"]: row for row in await _rows(session, Artifact, "id")}
        for row in await _rows(session, Config, "id"):
            facts.configs[row["name"]].append(row)
        links = await _rows(session, ConfigArtifact, "artifact_id")
        facts.links = {row["artifact_id"]: row["config_id"] for row in links}
        facts.small = {row["sha256"]: row["content"] for row in await _rows(session, Blob, "sha256")}
        if database.dialect == "sqlite":
            for pragma in ("integrity_check", "foreign_key_check"):
                facts.pragmas += [str(tuple(row)) for row in await session.execute(text(f"PRAGMA {pragma}"))]
    _gather_files(facts, database.data_dir / BLOBS_FOLDER)
    return facts


async def _rows(session: AsyncSession, table: Any, order: str) -> list[Row]:
    found: Table = getattr(table, "__table__", table)
    return [dict(row) for row in (await session.execute(select(found).order_by(order))).mappings()]


def _gather_files(facts: Facts, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and _is_name(path.name):
            facts.files[path.name] = path
        elif path.is_file():
            facts.strays.append(path.name)


def find_violations(facts: Facts, accepted: Mapping[str, str]) -> list[str]:
    """Return everything that is not as it must be."""
    return [
        *(
            f"accepted job {job_id} ({handler}) is gone"
            for job_id, handler in accepted.items()
            if job_id not in facts.jobs
        ),
        *(problem for job in facts.jobs.values() for problem in _of_job(facts, job)),
        *_of_contents(facts),
        *(f"SQLite: {line}" for line in facts.pragmas if line != "('ok',)"),
        *(f"marks of a job that is not there: {job_id}" for job_id in facts.marks if job_id not in facts.jobs),
    ]


def _of_job(facts: Facts, job: Row) -> Iterator[str]:
    for problem in (*_of_end(facts, job), *_of_attempts(facts, job), *_of_events(facts, job), *_of_result(facts, job)):
        yield f"job {job['id']} ({job['handler']}, {job['status']}, attempt {job['attempt']}): {problem}"


def _of_end(facts: Facts, job: Row) -> Iterator[str]:
    if job["status"] not in ENDS.get(job["handler"], FINAL):
        yield f"ended in no way that it may: {job['error_code']} {job['error']}"
    if (job["finished_at"] is None) or job["owner"] is not None:
        yield f"finished at {job['finished_at']}, owned by {job['owner']}"


def _of_attempts(facts: Facts, job: Row) -> Iterator[str]:
    rows = facts.attempts.get(job["id"], [])
    numbers = [row["number"] for row in rows]
    if numbers != list(range(1, job["attempt"] + 1)):
        yield f"has the attempts {numbers}"
    if any(row["finished_at"] is None for row in rows):
        yield "has an attempt without an end"
    outcomes = [row["outcome"] for row in rows]
    wanted = 1 if job["status"] == "completed" else 0
    if outcomes.count("completed") != wanted or (wanted and outcomes[-1] != "completed"):
        yield f"has attempts with the outcomes {outcomes}"


def _of_events(facts: Facts, job: Row) -> Iterator[str]:
    rows = facts.events.get(job["id"], [])
    numbers = [row["number"] for row in rows]
    if numbers != list(range(1, job["events"] + 1)):
        yield f"has events with the numbers {numbers}"
    status, attempt = None, 0
    for row in rows:
        data = from_json(row["data"])
        if status in FINAL and data.get("reason") == "restarted":
            status = None
        if status in FINAL:
            yield f"has an event {row['kind']} behind its end"
        if row["kind"] != "status":
            continue
        if data["status"] not in _NEXT.get(status, ()):
            yield f"went from {status} to {data['status']}"
        if data["attempt"] < attempt:
            yield f"went from attempt {attempt} to {data['attempt']}"
        status, attempt = data["status"], data["attempt"]
    if status != job["status"]:
        yield f"its last event says {status}"


def _of_result(facts: Facts, job: Row) -> Iterator[str]:
    completed, handler = job["status"] == "completed", job["handler"]
    marks = Counter(row["what"] for row in facts.marks.get(job["id"], []))
    # A failed job that was retried by hand has failed more than once.
    ends = Counter(
        from_json(row["data"])["status"] for row in facts.events.get(job["id"], []) if row["kind"] == "status"
    )
    wanted = {"result": int(completed), "failure": ends["failed"]}
    if handler not in WITHOUT_MARK and any(marks[what] != number for what, number in wanted.items()):
        yield f"left the marks {dict(marks)}"
    if handler != TRAIN and completed and from_json(job["result"]) != {"number": from_json(job["payload"])["number"]}:
        yield f"has the result {job['result']}"
    if handler in WITH_ARTIFACT and completed != (job["artifact_id"] in facts.artifacts):
        yield "has an artifact without being completed, or none although it is"
    config = facts.links.get(job["artifact_id"]) if handler in (TRAIN, ConfigWork.name) else None
    if handler in (TRAIN, ConfigWork.name) and completed != (config is not None):
        yield "its artifact is not linked"
    if handler == ConfigWork.name:
        turns = [from_json(row["data"])["turn"] for row in facts.configs.get(job["id"], [])]
        if turns != ([from_json(job["payload"])["number"]] if completed else []):
            yield f"left configurations with the values {turns}"


def _of_contents(facts: Facts) -> Iterator[str]:
    handed_out = {job["artifact_id"] for job in facts.jobs.values()}
    for id, row in facts.artifacts.items():
        if row["parent_id"] is None and id not in handed_out:
            yield f"artifact {id} belongs to no job"
        if row["parent_id"] is not None and row["parent_id"] not in facts.artifacts:
            yield f"artifact {id} has lost its parent"
    named = {row["sha256"] for row in facts.artifacts.values()}
    named |= {job["payload_blob"] for job in facts.jobs.values() if job["payload_blob"] is not None}
    kept = facts.small.keys() | facts.files.keys()
    yield from (f"content {name} is missing" for name in named - kept)
    yield from (f"content {name} is named by nobody and was not swept" for name in kept - named)
    yield from (f"{name} was left behind" for name in facts.strays)
    for name, content in facts.small.items():
        if content_name(content) != name:
            yield f"content {name} is not what was written"
    for name, path in facts.files.items():
        if content_name(path.read_bytes()) != name:
            yield f"file {name} is not what was written"


def content_name(content: bytes) -> str:
    """Return the name that a content must have."""
    return hashlib.sha256(content).hexdigest()

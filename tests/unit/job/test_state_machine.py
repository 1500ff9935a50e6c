"""Any order of steps in the life of jobs, on the real statements and on a plain model: both must agree."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chapkit.core.ids import ULID
from chapkit.job import endings
from chapkit.job.claiming import Queue
from chapkit.job.claims import Claim, Report
from chapkit.job.endings import Ending, Outcome
from chapkit.job.errors import JobTimeoutError, ProcessDiedError, StaleAttemptError
from chapkit.job.policies import Retry
from chapkit.job.repository import JobRepository
from chapkit.job.rows import ATTEMPTS, EVENTS, JOBS
from chapkit.job.schemas import JobSpec, Revision
from chapkit.job.specs import row_of
from tests.unit.job.ground import Ground
from tests.unit.job.model import FINAL, Model, ModelJob
from tests.unit.job.parts import Double

_LONG = bool(os.environ.get("CHAPKIT_FUZZ"))
_SETTINGS = settings(
    max_examples=3000 if _LONG else 25,
    stateful_step_count=100 if _LONG else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
_LIMITS: dict[str, int | None] = {"default": None, "slow": 2}
_KEYS = {"k": 1, "l": 2}
_COLUMNS = (
    *("status", "attempt", "owner", "failures", "crashes", "suspicions", "events", "cancel_requested", "error_code"),
    *("run_after", "deadline", "expires_at"),
)

_owners = st.sampled_from([f"{number:026d}" for number in (0, 0, 0, 1, 2)])
_retries = st.none() | st.builds(
    Retry,
    attempts=st.integers(1, 4),
    initial=st.sampled_from([0.0, 1.0, 5.0]),
    factor=st.sampled_from([1.0, 2.0, 3.0]),
    maximum=st.sampled_from([4.0, 300.0]),
    jitter=st.just(False),
    never=st.just((ValueError,)),
)
_places = st.integers(0, 20)
_numbers = st.integers(0, 4)
_losses = st.sampled_from([Outcome.RECOVERED, Outcome.RECOVERED, Outcome.RELEASED, Outcome.TAKEN_OVER])


@dataclass(frozen=True)
class Wanted:
    """A job to be submitted."""

    queue: str = "default"
    priority: int = 0
    retry: Retry | None = None
    key: str | None = None
    total: float | None = None
    in_queue: float | None = None
    later: int = 0
    owner: str | None = None
    """Only what belongs to one process has an owner while it waits."""
    once: str | None = None


def _seldom(*values: Any, nothing: Any = None) -> st.SearchStrategy[Any]:
    return st.sampled_from([nothing] * 5 + list(values))


_wanted = st.builds(
    Wanted,
    queue=st.sampled_from(list(_LIMITS)),
    priority=_seldom(-1, 1, nothing=0),
    retry=_retries,
    key=st.sampled_from([None, None, *_KEYS]),
    total=_seldom(5.0, 20.0),
    in_queue=_seldom(1.0, 20.0),
    later=_seldom(3, nothing=0),
    owner=_seldom(f"{0:026d}"),
    once=_seldom("x", "y"),
)


class JobMachine(RuleBasedStateMachine):
    """Takes a step on the rows and on the model, and sees that they say the same."""

    ground: Ground

    def __init__(self) -> None:
        super().__init__()
        self.run = self.ground.run
        self.claims: list[Claim] = []
        self.idempotency: dict[str, str] = {}

    @initialize(wanted=st.lists(_wanted, min_size=2, max_size=6))
    def begin(self, wanted: list[Wanted]) -> None:
        self.run(self.ground.clear())
        self.model = Model(self.ground.clock.now(), _LIMITS)
        for each in wanted:
            self._submit(each)

    @rule(wanted=st.lists(_wanted, min_size=1, max_size=3), owner=_owners, number=_numbers)
    def submit(self, wanted: list[Wanted], owner: str, number: int) -> None:
        for each in wanted:
            self._submit(each)
        self.claim_of_all(owner, number)

    def _submit(self, wanted: Wanted) -> None:
        now, once = self.model.now, wanted.once
        run_after = now + timedelta(seconds=wanted.later)
        limit = _KEYS.get(wanted.key or "", 1)
        spec = JobSpec(
            handler=Double.name,
            queue=wanted.queue,
            priority=wanted.priority,
            retry=wanted.retry,
            concurrency_key=wanted.key,
            concurrency_limit=limit,
            total_timeout=wanted.total,
            queue_timeout=wanted.in_queue,
            run_after=run_after,
            durable=wanted.owner is None,
            key=once,
        )
        values = row_of(spec, Double(), now, None if wanted.owner is None else ULID(wanted.owner))
        assert self.run(self.ground.ledger.insert(values)) is (once not in self.idempotency)
        if once is not None and once in self.idempotency:
            return
        job = ModelJob(values["id"], wanted.queue, wanted.priority, spec.durable, now, run_after, wanted.retry)
        job.total = wanted.total
        job.deadline = None if wanted.total is None else now + timedelta(seconds=wanted.total)
        latest = None if wanted.in_queue is None else run_after + timedelta(seconds=wanted.in_queue)
        job.expires_at = min((moment for moment in (job.deadline, latest) if moment is not None), default=None)
        job.key, job.limit, job.owner = wanted.key, limit, wanted.owner
        self.model.jobs[job.id] = job
        if once is not None:
            self.idempotency[once] = job.id

    @rule(owner=_owners, number=_numbers)
    def claim_of_all(self, owner: str, number: int) -> None:
        for queue in _LIMITS if number else ():
            self.claim(owner, queue, number, suspects=True)

    @rule(owner=_owners, queue=st.sampled_from(list(_LIMITS)), number=st.integers(1, 3))
    def claim_without_suspects(self, owner: str, queue: str, number: int) -> None:
        self.claim(owner, queue, number, suspects=False)

    def claim(self, owner: str, queue: str, number: int, suspects: bool) -> None:
        claims = self.run(self.ground.claim(owner, number, Queue(queue, _LIMITS[queue]), suspects))
        were_suspect = {job.id for job in self.model.jobs.values() if job.suspicions}
        assert [claim.fence.job_id for claim in claims] == self.model.claim(owner, queue, number, suspects)
        for claim in claims:
            job = self.model.jobs[claim.fence.job_id]
            assert job.held_by(claim.fence)
            assert claim.is_suspect == (job.id in were_suspect)
            assert (claim.failures, claim.crashes, claim.deadline) == (job.failures, job.crashes, job.deadline)
            assert claim.retry == job.retry
        self.claims += claims

    @precondition(lambda self: self.claims)
    @rule(place=_places, lines=st.integers(0, 2), fraction=st.sampled_from([None, 0.5]))
    def report(self, place: int, lines: int, fraction: float | None) -> None:
        fence = self._claim(place).fence
        reports = [Report("log", {"level": "info", "message": "here"}) for _ in range(lines)]
        reports += [] if fraction is None else [Report("progress", {"progress": fraction})]
        job = self.model.find(fence)
        if job is None:
            with pytest.raises(StaleAttemptError):
                self.run(self.ground.ledger.report(fence, reports))
        else:
            self.run(self.ground.ledger.report(fence, reports))
            job.events += len(reports)

    @precondition(lambda self: self.claims)
    @rule(place=_places)
    def complete(self, place: int) -> None:
        claim = self._claim(place)
        job = self.model.find(claim.fence)
        if self._end(claim, endings.completed(claim), may=job is not None and not job.asked) and job is not None:
            job.end("completed", "completed")
            job.result = True

    @precondition(lambda self: self.claims)
    @rule(place=_places, kind=st.sampled_from(["error", "never", "crash", "late", "lasting"]))
    def fail(self, place: int, kind: str) -> None:
        claim = self._claim(place)
        errors: dict[str, BaseException] = {
            "error": OSError("away"),
            "never": ValueError("wrong"),
            "crash": ProcessDiedError("killed"),
            "late": JobTimeoutError("long"),
            "lasting": JobTimeoutError("long", is_lasting=True),
        }
        job = self.model.find(claim.fence)
        ending = endings.failed(claim, errors[kind], self.model.now)
        if self._end(claim, ending, may=job is not None and not job.asked) and job is not None:
            self.model.fail(
                job, {"never": "error", "lasting": "late"}.get(kind, kind), kind not in ("never", "lasting")
            )

    @precondition(lambda self: self.claims and any(job.asked for job in self.model.jobs.values()))
    @rule(place=_places, answers=st.booleans())
    def stop(self, place: int, answers: bool) -> None:
        claim = self._claim(place)
        job = self.model.find(claim.fence)
        ending = endings.canceled(claim) if answers else endings.deserted(claim)
        if self._end(claim, ending, may=job is not None and job.asked) and job is not None:
            job.end(*(("canceled", "canceled") if answers else ("failed", "failed", "job-deserted")))

    @precondition(lambda self: self.model.jobs)
    @rule(place=_places)
    def cancel(self, place: int) -> None:
        # Those that run are the more interesting ones.
        running = [job for job in self.model.jobs.values() if job.status == "running"]
        job = running[place % len(running)] if running else self._job(place)
        row = self.run(self.ground.ledger.request_cancel(ULID(job.id)))
        assert (row is not None) is self.model.cancel(job)

    @rule(seconds=st.sampled_from([1, 2, 4, 12]), owner=_owners, number=_numbers)
    def pass_time(self, seconds: int, owner: str, number: int) -> None:
        self.ground.clock.move(seconds)
        self.model.now = self.ground.clock.now()
        self.claim_of_all(owner, number)

    @rule()
    def look(self) -> None:
        self.expire()

    def expire(self) -> None:
        assert sorted(self.run(self.ground.ledger.expire())) == sorted(self.model.expire())

    @precondition(lambda self: any(job.owner for job in self.model.jobs.values()))
    @rule(place=_places, outcome=_losses, successor=_owners, number=_numbers)
    def lose(self, place: int, outcome: Outcome, successor: str, number: int) -> None:
        """Lose a process, which may not know it: what it has claimed stays in its hands."""
        owners = sorted({job.owner for job in self.model.jobs.values() if job.owner})
        self.give_back(owners[place % len(owners)], outcome)
        self.claim_of_all(successor, number)

    def give_back(self, owner: str, outcome: Outcome) -> None:
        changed = self.run(self.ground.ledger.give_back(JOBS.c.owner == owner, outcome))
        assert sorted(changed) == sorted(self.model.give_back(owner, outcome.value))

    @precondition(lambda self: self.model.jobs)
    @rule(place=_places)
    def retry_by_hand(self, place: int) -> None:
        job = self._job(place)
        row = self.run(self.ground.ledger.restart(ULID(job.id), Revision({"value": 2})))
        assert (row is not None) is self.model.restart(job)

    @precondition(lambda self: self.model.jobs)
    @rule(place=_places, all_that_have_ended=_seldom(True, nothing=False))
    def delete(self, place: int, all_that_have_ended: bool) -> None:
        if all_that_have_ended:
            self.prune()
            return
        job = self._job(place)
        assert self.run(JobRepository(self.ground.session).delete(ULID(job.id))) is (job.status != "running")
        if job.status != "running":
            del self.model.jobs[job.id]
            self._forget()

    def prune(self) -> None:
        for job_id in self.model.prune():
            assert self.run(JobRepository(self.ground.session).delete(ULID(job_id)))
        self._forget()

    @invariant()
    def rows_and_model_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = self.run(self.ground.rows(JOBS.c.id, *(JOBS.c[name] for name in _COLUMNS), JOBS.c.result))
        assert len(rows) == len(self.model.jobs)
        for job_id, *found, result in rows:
            job = self.model.jobs[job_id]
            wanted = [
                getattr(job, {"cancel_requested": "asked", "error_code": "code"}.get(name, name)) for name in _COLUMNS
            ]
            assert dict(zip(_COLUMNS, found, strict=True)) == dict(zip(_COLUMNS, wanted, strict=True))
            assert (result is not None) == job.result

    @invariant()
    def limits_are_kept(self) -> None:
        if not hasattr(self, "model"):
            return
        for queue, limit in _LIMITS.items():
            assert limit is None or self.model.running(queue=queue) <= limit
        for key, limit in _KEYS.items():
            assert self.model.running(key=key) <= limit

    @invariant()
    def attempts_and_events_have_no_gap(self) -> None:
        if not hasattr(self, "model"):
            return
        attempts = self._by_job(self.run(self.ground.rows(ATTEMPTS.c.job_id, ATTEMPTS.c.number, ATTEMPTS.c.outcome)))
        columns = (EVENTS.c.job_id, EVENTS.c.number, EVENTS.c.kind, EVENTS.c.data)
        events = self._by_job(self.run(self.ground.rows(*columns)))
        for job in self.model.jobs.values():
            ended = sorted(attempts.get(job.id, []))
            assert [outcome for _, outcome in ended] == job.outcomes
            assert [number for number, _ in ended] == list(range(1, len(ended) + 1))
            assert len(ended) == job.attempt - (job.status == "running")
            assert job.outcomes.count("completed") <= 1
            told = sorted(events.get(job.id, []))
            assert [number for number, *_ in told] == list(range(1, job.events + 1))
            self._check_order(job, told)

    def _check_order(self, job: ModelJob, told: Sequence[Any]) -> None:
        """See that nothing follows an end, unless somebody has run the job again."""
        statuses = [data for _, kind, data in told if kind == "status"]
        for data, after in pairwise(statuses):
            if any(f'"status":"{status}"' in data for status in FINAL):
                assert '"reason":"restarted"' in after
        assert f'"status":"{job.status}"' in statuses[-1]

    def _end(self, claim: Claim, ending: Ending, *, may: bool) -> bool:
        """Write the end of an attempt, which may be too late; tell whether it was written."""
        result = b'"done"' if ending.outcome is Outcome.COMPLETED else None
        if may:
            self.run(self.ground.ledger.end(claim.fence, ending, result))
        else:
            with pytest.raises(StaleAttemptError):
                self.run(self.ground.ledger.end(claim.fence, ending, result))
        return may

    def _by_job(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for job_id, *rest in rows:
            found.setdefault(job_id, []).append(tuple(rest))
        return found

    def _claim(self, place: int) -> Claim:
        # Most of the time one that holds its job; but who comes late, while another one holds it, must change nothing.
        held = [claim for claim in self.claims if self.model.find(claim.fence)]
        jobs = {claim.fence.job_id for claim in held}
        late = [claim for claim in self.claims if claim.fence.job_id in jobs and claim not in held]
        claims = (held if place % 4 else late) or self.claims
        return claims[place % len(claims)]

    def _job(self, place: int) -> ModelJob:
        jobs = list(self.model.jobs.values())
        return jobs[place % len(jobs)]

    def _forget(self) -> None:
        self.idempotency = {once: job for once, job in self.idempotency.items() if job in self.model.jobs}


def test_rows_and_model_agree_after_any_order_of_steps() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder))
        try:
            run_state_machine_as_test(type("Machine", (JobMachine,), {"ground": ground}), settings=_SETTINGS)
        finally:
            ground.close()

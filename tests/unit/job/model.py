"""What the rows of jobs should say, as plain objects."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chapkit.job.claims import Fence
from chapkit.job.policies import Retry

FINAL = ("completed", "failed", "canceled")


@dataclass
class ModelJob:
    """One job."""

    id: str
    queue: str
    priority: int
    durable: bool
    submitted_at: datetime
    run_after: datetime
    retry: Retry | None = None
    total: float | None = None
    deadline: datetime | None = None
    expires_at: datetime | None = None
    key: str | None = None
    limit: int = 1
    owner: str | None = None
    status: str = "pending"
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    suspicions: int = 0
    events: int = 1
    asked: bool = False
    code: str | None = None
    result: bool = False
    outcomes: list[str] = field(default_factory=list[str])

    def held_by(self, fence: Fence) -> bool:
        """Tell whether the attempt is the one that runs."""
        return (self.status, self.attempt, self.owner) == ("running", fence.attempt, fence.owner)

    def end(self, status: str, outcome: str, code: str | None = None) -> None:
        """End the attempt that runs, for good or to wait for another one."""
        self.status, self.owner, self.code = status, None, code
        self.suspicions = 0
        self.outcomes.append(outcome)
        self.events += 1
        if status in FINAL:
            self.expires_at = None


class Model:
    """All jobs, and the time."""

    def __init__(self, now: datetime, limits: dict[str, int | None]) -> None:
        self.now = now
        self.limits = limits
        self.jobs: dict[str, ModelJob] = {}

    def running(self, **members: str) -> int:
        """Return how many jobs run that are so."""
        return sum(
            all(getattr(job, name) == value for name, value in members.items())
            for job in self.jobs.values()
            if job.status == "running"
        )

    def claim(self, owner: str, queue: str, number: int, suspects: bool) -> list[str]:
        """Take the next jobs and return their identifiers."""
        limit = self.limits[queue]
        room = number if limit is None else min(number, limit - self.running(queue=queue))
        ordered = sorted(self.jobs.values(), key=lambda job: (-job.priority, job.id))
        found = [job for job in ordered if self._is_claimable(job, owner, queue, suspects)][: max(0, room)]
        taken: list[str] = []
        has_suspect = False
        for job in found:
            if (job.suspicions and has_suspect) or (job.key and self.running(key=job.key) >= job.limit):
                continue
            has_suspect = has_suspect or job.suspicions > 0
            job.status, job.owner, job.code = "running", owner, None
            job.attempt += 1
            job.events += 1
            job.expires_at = job.deadline
            taken.append(job.id)
        return taken

    def _is_claimable(self, job: ModelJob, owner: str, queue: str, suspects: bool) -> bool:
        return (
            (job.status, job.queue) == ("pending", queue)
            and job.run_after <= self.now
            and (job.expires_at is None or job.expires_at > self.now)
            and (job.durable or job.owner == owner)
            and (suspects or not job.suspicions)
            and (job.key is None or self.running(key=job.key) < job.limit)
        )

    def fail(self, job: ModelJob, kind: str, may_retry: bool) -> None:
        """End the attempt of a job with an error, unless somebody has asked it to stop."""
        if kind == "crash":
            job.crashes += 1
            again, pause, code = job.crashes < 3, float(2 ** (job.crashes - 1)), "job-process-died"
        else:
            job.failures += 1
            again = may_retry and job.retry is not None and job.failures < job.retry.attempts
            pause, code = 0.0, "job-failed" if kind == "error" else "job-timed-out"
            if job.retry is not None:
                pause = min(job.retry.initial * job.retry.factor ** (job.failures - 1), job.retry.maximum)
        outcome = {"crash": "crashed", "error": "failed", "late": "timed-out"}[kind]
        moment = self.now + timedelta(seconds=pause)
        if again and (job.deadline is None or moment < job.deadline):
            job.end("pending", outcome, code)
            job.run_after = moment
        else:
            job.end("failed", outcome, "job-poisoned" if kind == "crash" and job.crashes >= 3 else code)

    def give_back(self, owner: str, outcome: str) -> list[str]:
        """Let go of what a process holds; return the jobs that changed."""
        changed = [job for job in self.jobs.values() if job.owner == owner and self._is_left(job)]
        for job in changed:
            if job.status == "running":
                job.outcomes.append(outcome)
            job.status = "canceled" if job.asked else "pending" if job.durable else "failed"
            job.code = "job-not-durable" if job.status == "failed" else None
            job.owner = None
            job.events += 1
            job.suspicions += outcome == "recovered"
            if job.suspicions >= 5:
                job.run_after = self.now + timedelta(seconds=10)
        return [job.id for job in changed]

    def _is_left(self, job: ModelJob) -> bool:
        return job.status == "running" or (job.status == "pending" and not job.durable)

    def expire(self) -> list[str]:
        """Fail what waits too long; return the jobs that changed."""
        late = [
            job
            for job in self.jobs.values()
            if job.status == "pending" and job.expires_at is not None and job.expires_at <= self.now
        ]
        for job in late:
            is_over = job.deadline is not None and job.deadline <= self.now
            job.code = "job-deadline-passed" if is_over else "job-queue-timeout"
            job.status, job.expires_at = "failed", None
            job.events += 1
        return [job.id for job in late]

    def cancel(self, job: ModelJob) -> bool:
        """Ask a job to stop; tell whether that changed anything."""
        if job.status in FINAL or job.asked:
            return False
        job.asked = True
        job.events += 1
        if job.status == "pending":
            # What an earlier attempt failed of is told by that attempt.
            job.status, job.code = "canceled", None
        return True

    def restart(self, job: ModelJob) -> bool:
        """Let a job begin anew; tell whether that can be."""
        if job.status not in ("failed", "canceled") or not job.durable:
            return False
        job.status, job.code, job.asked, job.result = "pending", None, False, False
        job.failures = job.crashes = job.suspicions = 0
        job.run_after = self.now
        job.deadline = None if job.total is None else self.now + timedelta(seconds=job.total)
        job.expires_at = job.deadline
        job.events += 1
        return True

    def find(self, fence: Fence) -> ModelJob | None:
        """Return the job that an attempt holds, or `None` where it is too late."""
        job = self.jobs.get(fence.job_id)
        return job if job is not None and job.held_by(fence) else None

    def prune(self) -> Sequence[str]:
        """Remove what has ended; return the jobs that went."""
        gone = [job.id for job in self.jobs.values() if job.status in FINAL]
        for job_id in gone:
            del self.jobs[job_id]
        return gone

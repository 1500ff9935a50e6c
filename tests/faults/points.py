"""Every named place at which a process is struck down, and how one gets there."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Road(StrEnum):
    """What a process does that is to be struck."""

    WORK = "work"
    """Serves and works on a database that others work on too."""
    STOP = "stop"
    """Does the same, and is told to stop."""
    CREATE = "create"
    """Opens an empty database."""
    UPGRADE = "upgrade"
    """Opens a database of an older release."""
    SIGN = "sign"
    """Needs the signing key for the first time."""
    TICK = "tick"
    """Sees to schedules, as others do at the same time."""
    ELSEWHERE = "elsewhere"
    """Belongs to a feature that the struck service does not have."""


@dataclass(frozen=True)
class Place:
    """How a point is reached."""

    road: Road = Road.WORK
    deepest: int = 1
    """The process is struck when it comes here for the n-th time, n up to this number."""
    holds: bool = False
    """Whether a transaction is open there, so that others have to wait for a stopped process."""
    by: str = ""
    """The work that leads there soonest: the name of a handler, or `TIDY`."""
    databases: tuple[str, ...] = ("sqlite", "postgresql")


TIDY = "tidy"
"""Leaving orphans, sweeping, checkpoints."""
_ON_SQLITE = ("sqlite",)

POINTS: Mapping[str, Place] = {
    # Of the tests' own jobs: in the middle of the user's work.
    "test.begun": Place(deepest=4),
    "test.worked": Place(deepest=4),
    # Units of work.
    "scope.before-commit": Place(deepest=15, holds=True),
    "scope.after-commit": Place(deepest=15),
    # The life of a job.
    "job.submit.before-commit": Place(deepest=5, holds=True),
    "job.submit.after-commit": Place(deepest=5),
    "job.claim.before-commit": Place(deepest=6, holds=True),
    "job.claim.after-commit": Place(deepest=6),
    "job.report.before-commit": Place(deepest=2, holds=True, by="fault.async"),
    "job.record.before-record": Place(deepest=5, holds=True),
    "job.record.before-commit": Place(deepest=5, holds=True),
    "job.record.after-commit": Place(deepest=5),
    "job.finish.before-commit": Place(deepest=4, holds=True, by="fault.plain"),
    "job.finish.after-commit": Place(deepest=4, by="fault.plain"),
    "job.cancel.before-commit": Place(deepest=2, holds=True, by="fault.patient"),
    "job.retry.before-commit": Place(holds=True, by=TIDY),
    "job.release.before-commit": Place(Road.STOP, holds=True),
    "job.owner.locked": Place(),
    "job.recovery.before-owner": Place(holds=True),
    "job.recovery.before-commit": Place(holds=True),
    "job.recovery.after-commit": Place(),
    "job.retention.before-delete": Place(holds=True, by=TIDY),
    "job.retention.after-delete": Place(holds=True, by=TIDY),
    # Rows.
    "entity.inserted": Place(deepest=3, holds=True),
    "entity.updated": Place(holds=True, by="fault.config"),
    "entity.removed": Place(holds=True, by="fault.config"),
    "link.before-row": Place(holds=True, by="fault.config"),
    "link.after-row": Place(holds=True, by="fault.config"),
    # Contents.
    "blob.written": Place(deepest=3, by="fault.blob"),
    "blob.before-rename": Place(deepest=3, by="fault.blob"),
    "blob.after-rename": Place(deepest=3, by="fault.blob"),
    "blob.row-written": Place(deepest=2, holds=True),
    "blob.before-removal": Place(by=TIDY),
    "blob.condemned": Place(by=TIDY),
    "sweep.before-rows": Place(holds=True, by=TIDY),
    "sweep.before-file": Place(deepest=2, by=TIDY),
    "sweep.after-file": Place(deepest=2, by=TIDY),
    "artifact.between-blob-and-row": Place(deepest=2, holds=True, by="fault.blob"),
    "artifact.recorded": Place(deepest=2, holds=True, by="fault.blob"),
    "payload.between-blob-and-job": Place(by="ml.train"),
    "ml.before-record": Place(holds=True, by="ml.train"),
    # The files of the database.
    "checkpoint.before": Place(databases=_ON_SQLITE, by=TIDY),
    "checkpoint.after": Place(databases=_ON_SQLITE, by=TIDY),
    "durability.before-sync": Place(deepest=5, databases=_ON_SQLITE),
    "durability.after-sync": Place(deepest=5, databases=_ON_SQLITE),
    "migrate.locked": Place(Road.CREATE),
    "migrate.before-stamp": Place(Road.CREATE),
    "migrate.after-stamp": Place(Road.CREATE),
    "migrate.before-commit": Place(Road.CREATE),
    "migrate.after-commit": Place(Road.CREATE),
    "migrate.before-upgrade": Place(Road.UPGRADE),
    "migrate.step-done": Place(Road.UPGRADE),
    "migrate.after-upgrade": Place(Road.UPGRADE),
    "signing.before-key": Place(Road.SIGN),
    "signing.after-key": Place(Road.SIGN),
    # Tasks and schedules.
    "task.before-record": Place(Road.ELSEWHERE),
    "schedule.fire.before-commit": Place(Road.TICK, deepest=6, holds=True),
    "schedule.fire.after-commit": Place(Road.TICK, deepest=6),
}


def points_for(dialect: str, *roads: Road) -> list[str]:
    """Return the points that a process comes to on these roads."""
    return [name for name, place in POINTS.items() if place.road in roads and dialect in place.databases]

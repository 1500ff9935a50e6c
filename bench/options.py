"""What a run measures, and which applications it compares."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.table import Table

SUBJECT_VARIABLE = "BENCH_SUBJECT"
"""Set to `peer`, it puts the peer on both sides: a test of the benchmark itself and of the noise."""


def peer_on_both_sides() -> bool:
    """Say whether the peer stands in for chapkit."""
    return os.environ.get(SUBJECT_VARIABLE) == "peer"


def crud_sides() -> dict[str, str]:
    """Return the two applications of the CRUD and start rows."""
    return {"peer": "bench.peer:app", "chapkit": "bench.peer:app" if peer_on_both_sides() else "bench.service:app"}


def ml_sides() -> dict[str, str]:
    """Return the two applications of the ML and artifact rows."""
    subject = "bench.peer_ml:app" if peer_on_both_sides() else "bench.ml_service:app"
    return {"peer": "bench.peer_ml:app", "chapkit": subject}


@dataclass(frozen=True)
class Options:
    """How long a run takes, and where its databases lie."""

    directory: Path
    quick: bool = False

    @property
    def rounds(self) -> int:
        """Rounds of the CRUD operations."""
        return 1 if self.quick else 3

    @property
    def seconds(self) -> float:
        """Seconds of one CRUD measurement."""
        return 0.5 if self.quick else 2.0

    @property
    def rows(self) -> int:
        """Configurations in each database."""
        return 2_000 if self.quick else 10_000

    def place(self, name: str) -> Path:
        """Return a new directory for one server."""
        path = self.directory / name
        path.mkdir()
        return path


@dataclass
class Report:
    """What a section found: tables for people, figures for the file."""

    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

"""What a process is told to do."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.points import Road
from tests.faults.strikes import Strike


@dataclass(frozen=True)
class Order:
    """One life of a process."""

    road: str
    """A `Road`, or `drain` (works until nothing is left), or `write` (many writers)."""
    url: str = ""
    folder: str = ""
    seed: int = 0
    seconds: float = 0.0
    power: bool = False
    """Whether its commits survive a power cut, too, where the database leaves the choice."""
    strike: Strike | None = None

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | bytes) -> "Order":
        values: dict[str, Any] = json.loads(text)
        strike = values.pop("strike")
        return cls(**values, strike=None if strike is None else Strike(**strike))

    @property
    def data_dir(self) -> Path:
        return Path(self.folder)


DRAIN, WRITE = "drain", "write"
SERVING = frozenset({Road.WORK, Road.STOP, DRAIN})

"""Which requests with a key were granted already; what keeps them are pairs in some row."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chapkit.job.errors import KeyReusedError

_MOST_KEYS = 100


@dataclass(frozen=True)
class KeyedRequest:
    """A request that was sent with a key, and what else it asked for, as JSON."""

    key: str
    wanted: Any

    @property
    def digest(self) -> str:
        """What stands for the key, which may be long."""
        return _digest(self.key)

    @property
    def fingerprint(self) -> str:
        """What stands for what is wanted."""
        return _digest(json.dumps(self.wanted, sort_keys=True))

    def is_among(self, granted: Iterable[Sequence[str]]) -> bool:
        """Tell whether it was granted before.

        Raises:
            KeyReusedError: The key was, but for something else (`idempotency-key-reused`).
        """
        fingerprint = next((found for known, found in granted if known == self.digest), None)
        if fingerprint is not None and fingerprint != self.fingerprint:
            raise KeyReusedError(self.key)
        return fingerprint is not None

    def added_to(self, granted: Iterable[Sequence[str]]) -> list[Sequence[str]]:
        """Return what was granted once this is, too; the oldest of very many are forgotten."""
        return [*granted, (self.digest, self.fingerprint)][-_MOST_KEYS:]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

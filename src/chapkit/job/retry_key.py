"""What makes a repeated wish to run a job again the same wish."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chapkit.job.errors import KeyReusedError

LABEL = "retry_keys"
"""Label of the job under which the keys stand that have let it run again."""
_MOST_KEYS = 100


@dataclass(frozen=True)
class RetryKey:
    """The key of one request to run a job again, and what else it asked for."""

    sent: str
    payload: Mapping[str, Any] | None

    def is_known(self, labels: Mapping[str, Any]) -> bool:
        """Tell whether the job with these labels was already run again for this request.

        Raises:
            KeyReusedError: It was, but with another payload (`idempotency-key-reused`).
        """
        fingerprint = dict(labels.get(LABEL, ())).get(_digest(self.sent))
        if fingerprint is not None and fingerprint != self._fingerprint:
            raise KeyReusedError(self.sent)
        return fingerprint is not None

    def added_to(self, labels: Mapping[str, Any]) -> dict[str, Any]:
        """Return the labels of the job once it has been run again for this request."""
        keys = [*labels.get(LABEL, ()), [_digest(self.sent), self._fingerprint]]
        return {**labels, LABEL: keys[-_MOST_KEYS:]}

    @property
    def _fingerprint(self) -> str:
        return _digest(json.dumps(self.payload, sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

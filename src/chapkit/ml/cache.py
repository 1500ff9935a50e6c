"""Parsed requests that wait for their job, so that the same process need not parse them again."""

import threading
from collections import OrderedDict
from typing import Any

from chapkit.core.ids import ULID

_MAX_BYTES = 64 * 1024 * 1024


class ParsedRequests:
    """A few parsed requests by the identifier that their result will have; a job without one reads its stored body.

    Not by that of the job, which keeps it when it is run again with another request, perhaps by another process.

    Args:
        max_bytes: How long the bodies of all of them may be together.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._requests: OrderedDict[ULID, tuple[Any, int]] = OrderedDict()
        self._left = max_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._requests)

    def put(self, result_id: ULID, request: Any, size: int) -> None:
        """Keep the request; the oldest ones go when there is no room for it."""
        with self._lock:
            self._requests[result_id] = (request, size)
            self._left -= size
            while self._left < 0:
                _, (_, freed) = self._requests.popitem(last=False)
                self._left += freed

    def take(self, result_id: ULID | None) -> Any:
        """Return the request and forget it; `None` if it is not here."""
        with self._lock:
            request, freed = self._requests.pop(result_id, (None, 0)) if result_id else (None, 0)
            self._left += freed
            return request

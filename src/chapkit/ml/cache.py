"""Parsed requests that wait for their job, so that the same process need not parse them again."""

import threading
from collections import OrderedDict
from typing import Any

from chapkit.core.ids import ULID

_MAX_REQUESTS = 16


class ParsedRequests:
    """A few parsed requests by job; a job whose request is gone reads its stored body instead."""

    def __init__(self) -> None:
        self._requests: OrderedDict[ULID, Any] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, job_id: ULID, request: Any) -> None:
        """Keep the request; the oldest one goes when there are too many."""
        with self._lock:
            self._requests[job_id] = request
            if len(self._requests) > _MAX_REQUESTS:
                self._requests.popitem(last=False)

    def take(self, job_id: ULID) -> Any:
        """Return the request and forget it; `None` if it is not here."""
        with self._lock:
            return self._requests.pop(job_id, None)

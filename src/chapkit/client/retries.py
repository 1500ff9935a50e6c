"""When a request is sent again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from chapkit.client.errors import retry_after
from chapkit.core.errors import ConfigurationError

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
BUSY = frozenset({429, 503})
LOST = "chapkit.lost"
"""Extension of an answer: an earlier attempt may have been carried out, though its answer got lost."""
Outcome = httpx.Response | httpx.RequestError


@dataclass(frozen=True)
class Retries:
    """Repeats what can be repeated safely: GET, HEAD, PUT, DELETE, and what carries an `Idempotency-Key`.

    A broken connection and a busy service (503, 429) are reasons; a `Retry-After` of the service is obeyed up to
    `longest_pause` and ends the attempts beyond it. `Retries(attempts=1)` repeats nothing.
    """

    attempts: int = 3
    first_pause: float = 0.2
    """Seconds before the second attempt; each further pause is twice as long."""
    longest_pause: float = 10.0
    sleep: Callable[[float], None] = time.sleep
    async_sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigurationError(
                f"attempts counts the first one too, so it is at least 1; found {self.attempts}",
                code="attempts-invalid",
                field="attempts",
            )


class Attempts:
    """One request on its way, and how often it was tried."""

    def __init__(self, retries: Retries, request: httpx.Request, accepted: frozenset[int] = frozenset()) -> None:
        self._retries = retries
        self._request = request
        self._accepted = accepted
        self._count = 0
        self._lost = False
        # A body that is read from a stream is gone after the first attempt.
        is_whole = isinstance(request.stream, httpx.ByteStream)
        self._is_repeatable = is_whole and (request.method in IDEMPOTENT or "Idempotency-Key" in request.headers)

    def pause_after(self, outcome: Outcome) -> float | None:
        """Return the seconds until the next attempt; `None` if `outcome` is the last word."""
        self._count += 1
        pause = self._pause(outcome)
        if isinstance(outcome, httpx.Response):
            outcome.extensions[LOST] = self._lost
        elif not isinstance(outcome, httpx.ConnectError):
            self._lost = True
        return pause

    def _pause(self, outcome: Outcome) -> float | None:
        if self._count >= self._retries.attempts or not self._is_repeatable:
            return None
        usual = min(self._retries.first_pause * 2 ** (self._count - 1), self._retries.longest_pause)
        if isinstance(outcome, httpx.Response):
            if outcome.status_code not in BUSY - self._accepted:
                return None
            asked = retry_after(outcome)
            if asked is not None and asked > self._retries.longest_pause:
                return None
            return usual if asked is None else asked
        return usual if self._may_repeat_after(outcome) else None

    def _may_repeat_after(self, error: httpx.RequestError) -> bool:
        if isinstance(error, httpx.ConnectError):
            return True
        # The first attempt may have changed the state, and then the condition does not hold for the second.
        is_conditional = "If-Match" in self._request.headers
        return not is_conditional and isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)

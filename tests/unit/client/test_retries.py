from collections.abc import Callable, Iterator

import httpx
import pytest

from chapkit.client.client import AsyncClient, Client
from chapkit.client.errors import ConnectionFailed, NotFound, TimedOut, Unavailable
from chapkit.client.retries import Retries
from chapkit.core.errors import ConfigurationError

pytestmark = pytest.mark.anyio
Step = httpx.Response | type[httpx.RequestError]
URL = "http://service"


class Script:
    """Answers with one step after the other and counts the requests."""

    def __init__(self, *steps: Step) -> None:
        self.steps: Iterator[Step] = iter(steps)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = next(self.steps)
        if isinstance(step, httpx.Response):
            return step
        raise step("broken", request=request)


def ok() -> httpx.Response:
    return httpx.Response(200, json={"done": True})


def busy(retry_after: str | None = None, status: int = 503) -> httpx.Response:
    return httpx.Response(status, headers={} if retry_after is None else {"Retry-After": retry_after})


def client_of(script: Script, pauses: list[float] | None = None, **options: int) -> Client:
    note: Callable[[float], None] = (pauses if pauses is not None else []).append
    return Client(URL, transport=httpx.MockTransport(script), retries=Retries(sleep=note, **options))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError])
def test_an_idempotent_request_is_repeated_when_the_connection_breaks(
    method: str, error: type[httpx.RequestError]
) -> None:
    script, pauses = Script(error, error, ok()), list[float]()
    assert client_of(script, pauses).request(method, "/x").status_code == 200
    assert pauses == [0.2, 0.4]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_is_not_idempotent_is_sent_once(method: str) -> None:
    script = Script(httpx.ConnectError)
    with pytest.raises(ConnectionFailed):
        client_of(script).request(method, "/x", json={})
    assert len(script.requests) == 1


def test_a_post_with_an_idempotency_key_is_repeated() -> None:
    script = Script(httpx.ReadError, ok())
    assert client_of(script).request("POST", "/x", json={}, headers={"Idempotency-Key": "k"}).status_code == 200
    assert script.requests[0].content == script.requests[1].content == b"{}"


def test_after_the_last_attempt_the_failure_is_raised() -> None:
    script = Script(*[httpx.ConnectError] * 3)
    with pytest.raises(ConnectionFailed):
        client_of(script).request("GET", "/x")
    assert len(script.requests) == 3


def test_a_late_answer_is_not_waited_for_again() -> None:
    script = Script(httpx.ReadTimeout)
    with pytest.raises(TimedOut):
        client_of(script).request("GET", "/x")
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_that_a_busy_service_asks_for_is_made(status: int) -> None:
    script, pauses = Script(busy("7", status), busy(None, status), ok()), list[float]()
    assert client_of(script, pauses).request("GET", "/x").status_code == 200
    assert pauses == [7, 0.4]


def test_a_pause_that_is_too_long_ends_the_attempts() -> None:
    script = Script(busy("3600"))
    with pytest.raises(Unavailable) as caught:
        client_of(script).configs.stats()
    assert caught.value.retry_after == 3600
    assert len(script.requests) == 1


def test_pauses_do_not_grow_beyond_the_longest() -> None:
    script, pauses = Script(*[httpx.ConnectError] * 4, ok()), list[float]()
    client_of(script, pauses, attempts=5, longest_pause=1).request("GET", "/x")
    assert pauses == [0.2, 0.4, 0.8, 1]


@pytest.mark.parametrize("status", [400, 404, 500, 502])
def test_other_refusals_are_final(status: int) -> None:
    script = Script(httpx.Response(status))
    assert client_of(script).request("GET", "/x").status_code == status
    assert len(script.requests) == 1


def test_one_attempt_means_no_repetition() -> None:
    script = Script(busy())
    assert client_of(script, attempts=1).request("GET", "/x").status_code == 503


def test_no_attempt_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1; found 0"):
        Retries(attempts=0)


def test_a_body_from_a_stream_is_sent_once() -> None:
    script = Script(httpx.ConnectError)
    with pytest.raises(ConnectionFailed):
        client_of(script).request("PUT", "/x", content=iter([b"a", b"b"]))
    assert len(script.requests) == 1


def test_a_conditional_change_is_repeated_only_if_it_never_arrived() -> None:
    script = Script(httpx.ConnectError, httpx.ReadError)
    with pytest.raises(ConnectionFailed):
        client_of(script).configs.delete("X", etag='"1"')
    assert len(script.requests) == 2


def test_a_deletion_whose_answer_got_lost_counts_as_done() -> None:
    script = Script(httpx.ReadError, httpx.Response(404, json={"detail": "gone"}))
    client_of(script).configs.delete("X")
    assert len(script.requests) == 2


@pytest.mark.parametrize("steps", [(), (httpx.ConnectError,)])
def test_a_deletion_of_what_was_never_there_is_an_error(steps: tuple[Step, ...]) -> None:
    with pytest.raises(NotFound):
        client_of(Script(*steps, httpx.Response(404))).configs.delete("X")


async def test_the_async_client_repeats_by_the_same_rules() -> None:
    script, pauses = Script(httpx.ConnectError, busy("2"), ok()), list[float]()

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    async with AsyncClient(URL, transport=httpx.MockTransport(script), retries=Retries(async_sleep=note)) as client:
        assert (await client.request("GET", "/x")).status_code == 200
    assert pauses == [0.2, 2]


async def test_the_async_client_raises_the_last_failure() -> None:
    script = Script(httpx.ConnectError)
    async with AsyncClient(URL, transport=httpx.MockTransport(script)) as client:
        with pytest.raises(ConnectionFailed):
            await client.configs.create("a", {})

from typing import Any

import pytest
from starlette.authentication import AuthCredentials, BaseUser, SimpleUser, UnauthenticatedUser
from starlette.types import Receive, Scope, Send

from chapkit.core.origin import current_origin, working_on_behalf
from chapkit.web.origin import OriginMiddleware

pytestmark = pytest.mark.anyio
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def origin_of(**scope: Any) -> dict[str, str]:
    seen: list[dict[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(current_origin()))

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nobody sends or receives here")

    await OriginMiddleware(app)({"type": "http", "method": "POST", "headers": [], **scope}, nothing, nothing)
    assert current_origin() == {}
    return seen[0]


async def test_the_trace_of_a_request_is_known_while_it_is_answered() -> None:
    headers = [(b"host", b"here"), (b"traceparent", TRACE.encode())]
    assert await origin_of(headers=headers) == {"traceparent": TRACE}
    assert await origin_of(headers=headers, method="GET") == {}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x" * 100,
        TRACE[:-1],
        TRACE.upper(),
        f"{TRACE}-more",
        f"ff{TRACE[2:]}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
async def test_what_is_no_trace_parent_is_passed_over(value: str) -> None:
    assert await origin_of(headers=[(b"traceparent", value.encode())]) == {}


@pytest.mark.parametrize(("user", "expected"), [(SimpleUser("Zoë"), {"requester": "Zoë"}), (UnauthenticatedUser(), {})])
async def test_who_was_authenticated_is_the_requester(user: BaseUser, expected: dict[str, str]) -> None:
    assert await origin_of(user=user, auth=AuthCredentials()) == expected


async def test_other_than_requests_have_no_origin() -> None:
    assert await origin_of(type="websocket", method=None, user=SimpleUser("Zoë")) == {}


def test_what_is_done_on_behalf_of_somebody_ends_with_the_block() -> None:
    with working_on_behalf({"requester": "Zoë", "traceparent": None, "name": "x"}):
        assert current_origin() == {"requester": "Zoë"}
        with working_on_behalf({}):
            assert current_origin() == {}
    assert current_origin() == {}

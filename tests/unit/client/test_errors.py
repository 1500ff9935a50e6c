import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from chapkit.client.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    ServerError,
    TimedOut,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    error_of,
    failure_of,
    retry_after,
)
from chapkit.core.errors import ChapkitError

REQUEST = httpx.Request("GET", "http://user:secret@service:8000/api/v1/configs/X")
PROBLEM = {
    "type": "urn:chapkit:error:not-found",
    "title": "Resource Not Found",
    "status": 404,
    "code": "config-unknown",
    "detail": "There is no configuration X",
    "instance": "/api/v1/configs/X",
    "trace_id": "abc",
    "did_you_mean": ["Y"],
}


def answer(status: int, **options: Any) -> httpx.Response:
    return httpx.Response(status, request=REQUEST, **options)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (405, ApiError),
        (409, Conflict),
        (412, PreconditionFailed),
        (413, TooLarge),
        (422, Invalid),
        (429, TooManyRequests),
        (500, ServerError),
        (503, Unavailable),
        (507, ServerError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[ApiError]) -> None:
    assert type(error_of(answer(status, json={"detail": "no"}))) is kind


def test_an_error_reads_as_detail_code_status_and_trace() -> None:
    error = error_of(answer(404, json=PROBLEM))
    assert str(error) == "There is no configuration X (config-unknown, 404, trace abc)"


def test_an_error_keeps_every_member_of_the_problem() -> None:
    error = error_of(answer(404, json=PROBLEM))
    assert (error.status, error.code, error.title) == (404, "config-unknown", "Resource Not Found")
    assert (error.trace_id, error.instance) == ("abc", "/api/v1/configs/X")
    assert error.problem == PROBLEM
    assert error.extensions == {"did_you_mean": ["Y"]}


def test_the_page_of_a_proxy_is_quoted_up_to_a_limit() -> None:
    error = error_of(answer(502, html="<h1>Bad\n  Gateway</h1>" + "x" * 500))
    assert isinstance(error, ServerError)
    assert error.code == "http-502"
    assert error.problem == {}
    assert "was answered with 502 Bad Gateway: <h1>Bad Gateway</h1>xxx" in error.detail
    assert len(error.detail) < 330


@pytest.mark.parametrize("content", [b"[1]", b"{", b""])
def test_json_that_is_no_problem_is_described_like_any_other_answer(content: bytes) -> None:
    error = error_of(answer(500, content=content, headers={"Content-Type": "application/json"}))
    assert error.detail.startswith("GET http://service:8000/api/v1/configs/X was answered with 500")


def test_a_redirect_names_the_address_to_use() -> None:
    error = error_of(answer(308, headers={"Location": "https://service/"}))
    assert "leads on to https://service/" in error.detail


def test_no_error_shows_the_password_of_the_url() -> None:
    texts = [str(error_of(answer(500))), str(failure_of(httpx.ConnectError("refused", request=REQUEST)))]
    assert all("secret" not in text and "service:8000" in text for text in texts)


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(error_of(answer(404, json=PROBLEM))))
    assert type(error) is NotFound
    assert str(error) == "There is no configuration X (config-unknown, 404, trace abc)"
    assert error.problem == PROBLEM


def test_every_error_is_one_of_chapkit() -> None:
    assert isinstance(error_of(answer(404)), ChapkitError)


def test_a_refused_connection_names_the_url_and_a_way_out() -> None:
    error = failure_of(httpx.ConnectError("[Errno 111] Connection refused", request=REQUEST))
    assert isinstance(error, ConnectionFailed)
    assert error.url == "http://service:8000/api/v1/configs/X"
    assert "Connection refused. Is the service running" in str(error)


def test_a_nameless_failure_is_named_after_its_kind() -> None:
    assert "got no answer: ReadError" in str(failure_of(httpx.ReadError("", request=REQUEST)))


def test_a_late_answer_tells_the_limit() -> None:
    request = httpx.Request("GET", "http://service", extensions={"timeout": {"read": 30.0}})
    error = failure_of(httpx.ReadTimeout("", request=request))
    assert isinstance(error, TimedOut)
    assert "was not answered within 30 s" in str(error)


def test_an_undecodable_answer_is_unexpected() -> None:
    assert isinstance(failure_of(httpx.DecodingError("bad gzip", request=REQUEST)), UnexpectedAnswer)


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert retry_after(answer(503, headers={"Retry-After": "7"})) == 7
    assert 55 < (retry_after(answer(503, headers={"Retry-After": later})) or 0) <= 60
    assert retry_after(answer(503, headers={"Retry-After": "soon"})) is None
    assert retry_after(answer(503)) is None


def test_the_wait_that_a_service_asks_for_stands_in_the_error() -> None:
    assert error_of(answer(503, headers={"Retry-After": "7"})).retry_after == 7

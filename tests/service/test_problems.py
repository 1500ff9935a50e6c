import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from sqlalchemy import text
from starlette.responses import StreamingResponse

from chapkit.config.feature import ConfigFeature
from chapkit.config.schemas import BaseConfig
from chapkit.core import errors
from chapkit.core.errors import ChapkitError
from chapkit.core.logging import configure_logging
from chapkit.core.settings import Environment
from chapkit.ops.health import HealthFeature
from chapkit.ops.logs import LoggingFeature
from chapkit.web.dependencies import RequestScope
from tests.serving import application, serving
from tests.things import Thing

pytestmark = pytest.mark.anyio
SECRET = "hunter2"
Log = Callable[[], list[dict[str, Any]]]


class Body(BaseModel):
    count: int
    inner: dict[str, int] = {}


def _router() -> APIRouter:
    router = APIRouter()

    @router.get("/fail/{name}")
    async def fail(name: str) -> None:
        kind: type[ChapkitError] = getattr(errors, name)
        raise kind("it failed", code="the-code", field="f", status="not mine to set")

    @router.get("/crash")
    async def crash() -> None:
        password = SECRET
        raise RuntimeError(f"crashed with {len(password)} characters")

    @router.get("/crash-many")
    async def crash_many() -> None:
        raise ExceptionGroup("many", [ValueError("one"), KeyError("two")])

    @router.get("/http/{status}")
    async def http(status: int) -> None:
        raise HTTPException(status, "as told", headers={"X-Told": "yes"})

    @router.get("/sql")
    async def sql(scope: RequestScope) -> None:
        await scope.session.execute(text("SELECT hunter2 FROM nowhere"))

    @router.post("/twice")
    async def twice(scope: RequestScope) -> None:
        scope.session.add_all([Thing(name=SECRET), Thing(name=SECRET)])

    @router.post("/body")
    async def body(body: Body, limit: int = 1) -> Body:
        return body

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncGenerator[bytes]:
            yield b"begun"
            raise RuntimeError("in the middle")

        return StreamingResponse(chunks())

    return router


class Model(BaseConfig):
    alpha: float = 0.5


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Log:
    """Return what reads the lines of this test's service; call it once before the first request."""

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        # The service began in another phase of the test, with another standard output.
        configure_logging(Environment({"LOG_FORMAT": "json"}))
        return [line for line in lines if line.get("logger") != "httpx"]

    return read


@pytest.fixture(scope="module")
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    features = (LoggingFeature(), HealthFeature(), ConfigFeature(Model))
    async with serving(application(*features, routers=(_router(),), max_body_size=2_000)) as client:
        yield client


def _problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"].startswith("urn:chapkit:error:")
    assert document["title"]
    assert document["trace_id"] == answer.headers["x-request-id"]
    return document


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    document = _problem(await client.get("/nowhere?x=1"), 404, "route-unknown")
    assert document["type"] == "urn:chapkit:error:not-found"
    assert document["instance"] == "/nowhere"
    assert "/nowhere" in document["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/health", {"GET"}),
        ("DELETE", "/api/v1/configs", {"GET", "POST"}),
        ("POST", "/api/v1/configs/01M8GDCZBQ1FTFJZND52SRV3G5", {"GET", "PUT", "PATCH", "DELETE"}),
    ],
)
async def test_another_method_is_a_problem_that_names_those_that_are_possible(
    client: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = await client.request(method, path)
    _problem(answer, 405, "method-not-allowed")
    assert {name.strip() for name in answer.headers["allow"].split(",")} - {"HEAD"} == allowed


async def test_a_body_beyond_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body", json={"count": 1, "inner": {"x" * 3_000: 1}})
    assert answer.status_code == 413


async def test_a_body_without_a_length_cannot_go_beyond_the_limit(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    answer = await client.post("/body", content=chunks(), headers={"content-type": "application/json"})
    _problem(answer, 413, "body-too-large")


async def test_a_body_that_does_not_fit_names_every_fault(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body?limit=x", json={"count": "many", "inner": {"a": None}})
    document = _problem(answer, 422, "request-invalid")
    assert document["type"] == "urn:chapkit:error:validation-failed"
    faults = {error["field"]: error for error in document["errors"]}
    assert set(faults) == {"query.limit", "count", "inner.a"}
    assert faults["count"]["loc"] == ["body", "count"]
    assert faults["count"]["found"] == "'many'"


async def test_what_was_found_is_repeated_only_in_part(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body", json={"count": "x" * 1_500})
    assert len(_problem(answer, 422, "request-invalid")["errors"][0]["found"]) <= 200


async def test_a_body_that_is_no_json_is_called_so(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body", content=b"{nope", headers={"content-type": "application/json"})
    assert _problem(answer, 422, "json-invalid")["position"] == 1


@pytest.mark.parametrize("content", [b'{"count": "\\ud800"}', b'{"count": 1, "inner": {"\\ud800": "x"}}'])
async def test_text_that_is_not_unicode_is_a_problem_too(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/body", content=content, headers={"content-type": "application/json"})
    _problem(answer, 422, "request-invalid")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("NotFoundError", 404),
        ("ValidationError", 400),
        ("InvalidULIDError", 400),
        ("BadRequestError", 400),
        ("UnprocessableError", 422),
        ("ConflictError", 409),
        ("PreconditionFailedError", 412),
        ("UnauthorizedError", 401),
        ("ForbiddenError", 403),
        ("TooLargeError", 413),
        ("UnsupportedMediaTypeError", 415),
        ("RangeNotSatisfiableError", 416),
        ("UnavailableError", 503),
        ("DatabaseBusyError", 503),
        ("StorageFullError", 507),
        ("IntegrityError", 500),
        ("ConfigurationError", 500),
        ("MissingExtraError", 500),
    ],
)
async def test_every_error_of_chapkit_has_its_status(client: httpx.AsyncClient, name: str, status: int) -> None:
    answer = await client.get(f"/fail/{name}")
    document = _problem(answer, status, "the-code")
    assert (document["detail"], document["field"]) == ("it failed", "f")
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("path", ["/crash", "/crash-many"])
async def test_an_unforeseen_error_tells_the_log_and_not_the_caller(
    client: httpx.AsyncClient, path: str, log: Log
) -> None:
    log()
    answer = await client.get(path)
    document = _problem(answer, 500, "internal")
    assert "Traceback" not in answer.text
    assert "crashed" not in answer.text
    crash, request = log()
    assert crash["event"] == "request.crashed"
    assert "Traceback (most recent call last)" in crash["exception"]
    assert crash["request_id"] == request["request_id"] == document["trace_id"]
    assert (request["event"], request["status_code"], request["path"]) == ("http.request.complete", 500, path)
    assert SECRET not in json.dumps(crash)


async def test_the_service_goes_on_after_an_unforeseen_error(client: httpx.AsyncClient) -> None:
    await client.get("/crash")
    assert (await client.get("/health")).status_code == 200


async def test_an_error_in_the_middle_of_a_stream_is_logged(client: httpx.AsyncClient, log: Log) -> None:
    log()
    await client.get("/stream")
    line = log()[-1]
    assert (line["event"], line["error"], line["status_code"]) == ("http.request.error", "RuntimeError", 200)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 502, 503])
async def test_an_http_exception_of_the_user_keeps_status_text_and_headers(
    client: httpx.AsyncClient, status: int
) -> None:
    answer = await client.get(f"/http/{status}")
    assert answer.status_code == answer.json()["status"] == status
    assert answer.json()["detail"] == "as told"
    assert answer.headers["x-told"] == "yes"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_answer_that_may_have_no_body_has_none(client: httpx.AsyncClient) -> None:
    answer = await client.get("/http/304")
    assert (answer.status_code, answer.content) == (304, b"")


async def test_an_error_of_the_database_shows_no_sql(client: httpx.AsyncClient, log: Log) -> None:
    log()
    answer = await client.get("/sql")
    _problem(answer, 500, "database-error")
    assert "nowhere" not in answer.text
    assert "SELECT" not in answer.text
    assert log()[0]["event"] == "request.failed"


async def test_a_broken_rule_that_shows_at_the_commit_is_a_conflict(client: httpx.AsyncClient) -> None:
    answer = await client.post("/twice")
    _problem(answer, 409, "constraint-violated")
    assert SECRET not in answer.text
    assert "test_things" not in answer.text


async def test_without_error_handlers_the_host_answers_in_its_own_way() -> None:
    app = application(routers=(_router(),), error_handlers=False)
    async with serving(app) as client:
        assert (await client.get("/nowhere")).json() == {"detail": "Not Found"}

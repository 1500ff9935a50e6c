import inspect
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from chapkit.client.calls import Call
from chapkit.client.client import AsyncClient, Client
from chapkit.client.configs import AsyncConfigs, Configs
from chapkit.client.errors import ClientError, ConnectionFailed, NotFound, Unavailable, UnexpectedAnswer
from chapkit.client.system import AsyncSystem, System
from chapkit.config.schemas import BaseConfig, ConfigIn
from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.ops.health_schemas import HealthState

pytestmark = pytest.mark.anyio
MOMENT = "2026-01-02T03:04:05.000006Z"
STREAM: Call[None] = Call("GET", "/stream", lambda response: None)
Handler = Callable[[httpx.Request], httpx.Response]


class Alpha(BaseConfig):
    alpha: float = 0.5


def config(id: str | None = None, **data: Any) -> dict[str, Any]:
    head = {"id": id or str(ULID()), "created_at": MOMENT, "updated_at": MOMENT, "tags": [], "name": "a"}
    return {**head, "data": {"prediction_periods": 3, **data}}


class Recorder:
    """Answers every request alike and keeps what was asked."""

    def __init__(self, status: int = 200, **options: Any) -> None:
        self.response = httpx.Response(status, **options)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.request = request
        return self.response

    @property
    def asked(self) -> str:
        return f"{self.request.method} {self.request.url.raw_path.decode()}"

    @property
    def body(self) -> Any:
        return json.loads(self.request.content)


def client_of(handler: Handler, url: str = "http://service") -> Client:
    return Client(url, transport=httpx.MockTransport(handler))


def test_creating_sends_the_configuration_and_returns_it_complete() -> None:
    service = Recorder(201, json=config(alpha=1))
    created = client_of(service).configs.create("a", {"alpha": 1}, tags=["x"])
    assert service.asked == "POST /api/v1/configs"
    assert service.body == {"name": "a", "data": {"alpha": 1}, "tags": ["x"]}
    assert service.request.headers["Content-Type"] == "application/json"
    assert created.created_at == datetime.fromisoformat(MOMENT)
    assert created.data.model_dump() == {
        "prediction_periods": 3,
        "additional_continuous_covariates": [],
        "alpha": 1,
    }


def test_data_may_be_a_model_and_the_identifier_ones_own() -> None:
    service, id = Recorder(201, json=config()), ULID()
    client_of(service).configs.create("a", Alpha(alpha=2), id=id)
    assert service.body["id"] == id
    assert service.body["data"]["alpha"] == 2


def test_typed_configurations_carry_data_of_the_given_class() -> None:
    found = client_of(Recorder(json=config(alpha=2))).configs.typed(Alpha).get("X")
    assert type(found.data) is Alpha
    assert found.data.alpha == 2


def test_the_tag_of_a_state_is_read_and_sent_with_a_change() -> None:
    service = Recorder(json=config("01M8GDCZBQ1FTFJZND52SRV3G5"), headers={"ETag": '"7"'})
    configs = client_of(service).configs
    found, etag = configs.get_with_etag("01M8GDCZBQ1FTFJZND52SRV3G5")
    assert etag == '"7"'
    configs.patch(found.id, {"data": {"alpha": None}}, etag=etag)
    assert service.asked == "PATCH /api/v1/configs/01M8GDCZBQ1FTFJZND52SRV3G5"
    assert service.body == {"data": {"alpha": None}}
    assert service.request.headers["If-Match"] == '"7"'
    configs.replace(found.id, "b", {"x": None}, etag=etag)
    assert service.asked == "PUT /api/v1/configs/01M8GDCZBQ1FTFJZND52SRV3G5"
    assert service.body == {"name": "b", "data": {"x": None}, "tags": []}
    configs.patch(found.id, {})
    assert "If-Match" not in service.request.headers


def test_deleting_says_what_becomes_of_dependants() -> None:
    service = Recorder(204)
    client_of(service).configs.delete("X", cascade=False)
    assert service.asked == "DELETE /api/v1/configs/X?cascade=false"


def test_an_identifier_cannot_leave_its_place_in_the_path() -> None:
    service = Recorder(204)
    client_of(service).configs.delete("../jobs?x")
    assert service.asked == "DELETE /api/v1/configs/..%2Fjobs%3Fx"


def test_a_list_is_filtered_sorted_and_limited() -> None:
    service = Recorder(json=[config()])
    client_of(service).configs.list(["name:eq:a", "data.alpha:gt:1"], "-created_at", 5)
    assert service.request.url.params.multi_items() == [
        ("filter", "name:eq:a"),
        ("filter", "data.alpha:gt:1"),
        ("sort", "-created_at"),
        ("limit", "5"),
    ]


def test_the_newest_of_a_name_is_asked_for() -> None:
    service = Recorder(json=[])
    assert client_of(service).configs.find_by_name("a:b") is None
    assert dict(service.request.url.params) == {"filter": "name:eq:a:b", "sort": "-created_at,-id", "limit": "1"}


def test_a_page_knows_the_total() -> None:
    service = Recorder(json={"items": [config()], "total": 3, "page": 2, "size": 1, "pages": 3})
    page = client_of(service).configs.page(2, 1)
    assert (page.total, page.page, page.pages, page.items[0].name) == (3, 2, 3, "a")


def test_iterating_follows_the_link_to_the_end_and_keeps_the_address_of_the_client() -> None:
    asked: list[str] = []

    def service(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        link = '<http://inside:9/api/v1/configs?cursor=Mg&size=2>; rel="next"'
        more = request.url.params["cursor"] == ""
        return httpx.Response(200, json=[config()] * (2 if more else 1), headers={"Link": link} if more else {})

    found = list(client_of(service, "https://public/prefix").configs.iterate(2, filter=(f for f in ["name:eq:a"])))
    assert len(found) == 3
    base = "https://public/prefix/api/v1/configs?filter=name%3Aeq%3Aa&cursor="
    assert asked == [f"{base}&size=2", f"{base}Mg&size=2"]


def test_many_are_created_and_deleted_at_once() -> None:
    result = {"total": 2, "succeeded": 1, "failed": 1, "items": [config(), None]}
    error = {"index": 1, "status": 422, "code": "request-invalid", "detail": "no"}
    service = Recorder(207, json={**result, "errors": [error]})
    configs = client_of(service).configs
    outcome = configs.create_many([{"name": "a", "data": {}}, ConfigIn(name="b", data=Alpha())], partial=True)
    assert service.asked == "POST /api/v1/configs/$bulk?partial=true"
    assert [item["name"] for item in service.body] == ["a", "b"]
    assert (outcome.items[1], outcome.errors[0].code) == (None, "request-invalid")
    configs.delete_many(["A", "B"])
    assert service.asked == "DELETE /api/v1/configs/$bulk?id=A&id=B"
    configs.delete_many(["A"], partial=True, cascade=False)
    assert service.asked == "DELETE /api/v1/configs/$bulk?id=A&partial=true&cascade=false"


def test_schema_and_stats_are_read() -> None:
    assert client_of(Recorder(json={"properties": {}})).configs.schema() == {"properties": {}}
    assert client_of(Recorder(json={"total": 4})).configs.stats().total == 4


def test_an_unhealthy_service_has_a_health_too() -> None:
    service = Recorder(503, json={"status": "unhealthy", "checks": {"db": {"state": "unhealthy"}}})
    assert client_of(service).health().status is HealthState.UNHEALTHY


def test_what_a_model_adds_to_its_description_is_kept() -> None:
    info = client_of(Recorder(json={"id": "m", "display_name": "M", "model_metadata": {"author": "A"}})).info()
    assert (info.display_name, info.model_dump()["model_metadata"]) == ("M", {"author": "A"})


@pytest.mark.parametrize("options", [{"html": "<p>hello</p>"}, {"json": {"name": "a"}}])
def test_an_answer_of_another_service_is_told_apart(options: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswer, match=r"GET /api/v1/configs/X answered something unexpected \("):
        client_of(Recorder(**options)).configs.get("X")


def test_what_json_cannot_carry_is_refused_before_sending() -> None:
    with pytest.raises(ClientError, match="cannot be sent as JSON"):
        client_of(Recorder()).configs.create("a", {"x": object()})


def test_headers_go_with_every_request() -> None:
    service = Recorder(json={"total": 0})
    Client("http://x", headers={"X-API-Key": "k"}, transport=httpx.MockTransport(service)).configs.stats()
    assert service.request.headers["X-API-Key"] == "k"
    assert service.request.headers["User-Agent"] == "chapkit-client"


def test_a_plain_request_returns_any_status() -> None:
    response = client_of(Recorder(418, text="short and stout")).request("POST", "/tea", json={"milk": True})
    assert (response.status_code, response.text) == (418, "short and stout")


def test_a_stream_gives_its_content_or_an_error() -> None:
    with client_of(Recorder(content=b"abc")).transport.stream(STREAM) as response:
        assert b"".join(response.iter_bytes()) == b"abc"
    with pytest.raises(NotFound, match="no stream"):
        with client_of(Recorder(404, json={"detail": "no stream"})).transport.stream(STREAM):
            pass


def test_a_stream_that_breaks_is_a_failed_connection() -> None:
    def break_off(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("cut", request=request)

    with pytest.raises(ConnectionFailed, match="cut"):
        with client_of(break_off).transport.stream(STREAM):
            pass


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_needs_one_target(kind: type[Client] | type[AsyncClient]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="either the URL of a service or an app"):
        kind()
    with pytest.raises(ConfigurationError, match="either the URL of a service or an app"):
        kind("http://x", app=app)
    with pytest.raises(ConfigurationError, match="found 'localhost:8000'"):
        kind("localhost:8000")


@pytest.mark.parametrize(
    ("blocking", "awaited"), [(Client, AsyncClient), (Configs, AsyncConfigs), (System, AsyncSystem)]
)
def test_both_flavours_have_the_same_methods(blocking: type, awaited: type) -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        public = {name: item for name, item in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_"}
        return {name: list(inspect.signature(item).parameters) for name, item in public.items()}

    assert methods(blocking) == methods(awaited)


async def test_the_async_client_does_the_same() -> None:
    service = Recorder(json=config(alpha=1), headers={"ETag": '"7"'})
    async with AsyncClient("http://service", transport=httpx.MockTransport(service)) as client:
        configs = client.configs.typed(Alpha)
        created = await configs.create("a", {"alpha": 1})
        assert created.data.alpha == 1
        assert (await configs.get_with_etag("X"))[1] == '"7"'
        await configs.replace("X", "a", {}, etag='"7"')
        await configs.patch("X", {})
        assert service.asked == "PATCH /api/v1/configs/X"
        service.response = httpx.Response(503)
        with pytest.raises(Unavailable):
            await configs.patch("X", {})


async def test_an_async_stream_gives_its_content_or_an_error() -> None:
    service = Recorder(content=b"abc")
    async with AsyncClient("http://service", transport=httpx.MockTransport(service)) as client:
        async with client.transport.stream(STREAM) as response:
            assert b"".join([part async for part in response.aiter_bytes()]) == b"abc"
        service.response = httpx.Response(404, json={"detail": "no stream"})
        with pytest.raises(NotFound, match="no stream"):
            async with client.transport.stream(STREAM):
                pass


async def test_an_async_stream_that_breaks_is_a_failed_connection() -> None:
    def break_off(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("cut", request=request)

    async with AsyncClient("http://service", transport=httpx.MockTransport(break_off)) as client:
        with pytest.raises(ConnectionFailed, match="cut"):
            async with client.transport.stream(STREAM):
                pass

import json
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import delete
from starlette.responses import Response

from chapkit.config.feature import ConfigFeature
from chapkit.config.schemas import BaseConfig
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.core.logging import configure_logging
from chapkit.core.services import Services
from chapkit.core.settings import Environment
from chapkit.ops.health import HealthFeature
from chapkit.ops.logs import LoggingFeature
from chapkit.ops.system import SystemFeature
from chapkit.web.crud import CrudRouter
from chapkit.web.dependencies import RequestScope, provided
from chapkit.web.feature import Feature
from tests.serving import application, serving
from tests.things import Thing, ThingIn, ThingManager, ThingOut

pytestmark = pytest.mark.anyio
URL = "/api/v1/things"


class Model(BaseConfig):
    alpha: float = 0.5


class ThingFeature(Feature):
    kind = "thing"

    def register(self, services: Services) -> None:
        services.scoped(ThingManager, lambda scope: ThingManager(scope.session))

    def routers(self) -> list[APIRouter]:
        router = CrudRouter(URL, ("Things",), ThingIn, ThingOut, provided(ThingManager))

        async def shout(entity_id: str, manager: Annotated[ThingManager, Depends(provided(ThingManager))]) -> str:
            return (await manager.get(ULID(entity_id))).name.upper()

        async def names(manager: Annotated[ThingManager, Depends(provided(ThingManager))]) -> list[str]:
            return [thing.name for thing in await manager.find_all()]

        async def clear(scope: RequestScope) -> dict[str, bool]:
            await scope.get(ThingManager).delete_all()
            return {"cleared": True}

        router.register_entity_operation("shout", shout, summary="Loud")
        router.register_collection_operation("names", names)
        router.register_collection_operation("clear", clear, http_method="post")
        return [router.router]


def _app(**options: Any) -> Any:
    features = (LoggingFeature(), HealthFeature(), SystemFeature(), ConfigFeature(Model), ThingFeature())
    return application(*features, entities=(Thing,), **options)


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """Return what reads the lines of this test's service; call it once before the first request."""

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        # The service began in another phase of the test, with another standard output.
        configure_logging(Environment({"LOG_FORMAT": "json"}))
        return [line for line in lines if line.get("logger") != "httpx"]

    return read


@pytest.fixture(scope="module")
async def service() -> AsyncGenerator[tuple[FastAPI, httpx.AsyncClient]]:
    app = _app()
    async with serving(app) as client:
        yield app, client


@pytest.fixture
async def client(service: tuple[FastAPI, httpx.AsyncClient]) -> AsyncGenerator[httpx.AsyncClient]:
    app, client = service
    yield client
    async with app.state.services.scope.write() as scope:
        await scope.session.execute(delete(Thing))


async def _create(client: httpx.AsyncClient, name: str, **values: Any) -> str:
    answer = await client.post(URL, json={"name": name, **values})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_an_entity_of_the_user_has_every_generic_route(client: httpx.AsyncClient) -> None:
    id = await _create(client, "a", extra={"n": [1]}, tags=["x"])
    found = (await client.get(f"{URL}/{id}")).json()
    assert (found["name"], found["size"], found["extra"], found["tags"]) == ("a", 7, {"n": [1]}, ["x"])
    assert (await client.put(f"{URL}/{id}", json={"name": "b", "size": None})).json()["size"] is None
    assert (await client.patch(f"{URL}/{id}", json={"size": None, "extra": {"m": 1}})).json()["extra"] == {
        "n": [1],
        "m": 1,
    }
    assert (await client.get(URL, params={"page": 1})).json()["total"] == 1
    assert (await client.get(f"{URL}/$stats")).json() == {"total": 1}
    assert "name" in (await client.get(f"{URL}/$schema")).json()["properties"]
    assert (await client.delete(f"{URL}/{id}")).status_code == 204


async def test_a_rule_of_the_users_table_is_a_conflict(client: httpx.AsyncClient) -> None:
    await _create(client, "same")
    answer = await client.post(URL, json={"name": "same"})
    assert (answer.status_code, answer.json()["code"]) == (409, "constraint-violated")
    bulk = await client.post(f"{URL}/$bulk", json=[{"name": "new"}, {"name": "same"}])
    assert (bulk.status_code, bulk.json()["errors"][0]["code"]) == (409, "constraint-violated")
    partial = await client.post(f"{URL}/$bulk?partial=1", json=[{"name": "new"}, {"name": "same"}, {"name": "newer"}])
    assert (partial.status_code, partial.json()["succeeded"]) == (207, 2)
    assert (await client.get(f"{URL}/$names")).json() == ["same", "new", "newer"]


async def test_operations_of_the_user_come_before_the_identifier(client: httpx.AsyncClient) -> None:
    id = await _create(client, "a")
    assert (await client.get(f"{URL}/{id}/$shout")).json() == "A"
    assert (await client.get(f"{URL}/{id}/%24shout")).json() == "A"
    assert (await client.get(f"{URL}/$names")).json() == ["a"]
    assert (await client.post(f"{URL}/$clear")).json() == {"cleared": True}
    assert (await client.get(f"{URL}/$names")).json() == []
    listed = {(o["name"], o["method"]) for o in (await client.get(f"{URL}/$operations")).json()}
    assert {("shout", "GET"), ("names", "GET"), ("clear", "POST"), ("bulk", "PATCH")} <= listed


async def test_a_head_request_is_answered_like_a_get_without_its_body(client: httpx.AsyncClient) -> None:
    id = await _create(client, "a")
    for path in (URL, f"{URL}/{id}", f"{URL}/$stats", "/health", "/api/v1/info", "/api/v1/system", "/openapi.json"):
        head, get = await client.head(path), await client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers.get("etag") == get.headers.get("etag")
    missing = await client.head(f"{URL}/{ULID()}")
    assert (missing.status_code, missing.content) == (404, b"")
    assert (await client.head("/nowhere")).status_code == 404


async def test_a_head_request_of_a_stream_ends(client: httpx.AsyncClient) -> None:
    answer = await client.head("/health/$stream")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


@pytest.mark.parametrize("id", ["abc", "A-b_c.d:e/f+g=", "x" * 128])
async def test_a_sane_request_id_is_kept(client: httpx.AsyncClient, id: str) -> None:
    answer = await client.get("/nowhere", headers={"X-Request-ID": id})
    assert answer.headers["x-request-id"] == answer.json()["trace_id"] == id


@pytest.mark.parametrize("id", ["", " ", "a b", "x" * 129, "a\tb", "<script>", "a;b", '"a"'])
async def test_an_odd_request_id_is_replaced(client: httpx.AsyncClient, id: str) -> None:
    answer = await client.get("/health", headers={"X-Request-ID": id})
    assert ULID(answer.headers["x-request-id"])


async def test_every_request_has_an_id_of_its_own(client: httpx.AsyncClient) -> None:
    ids = [(await client.get("/health")).headers.get_list("x-request-id") for _ in range(3)]
    assert [len(found) for found in ids] == [1, 1, 1]
    assert len({found[0] for found in ids}) == 3


async def test_a_request_leaves_one_line_without_headers_and_queries(
    client: httpx.AsyncClient, log: Callable[[], list[dict[str, Any]]]
) -> None:
    log()
    headers = {"Authorization": "Bearer hunter2", "X-Request-ID": "r-1", "Cookie": "session=hunter2"}
    await client.get(f"{URL}/$names?token=hunter2", headers=headers)
    [line] = log()
    assert (line["event"], line["method"], line["path"]) == ("http.request.complete", "GET", f"{URL}/$names")
    assert (line["status_code"], line["request_id"]) == (200, "r-1")
    assert line["duration_ms"] >= 0
    assert "hunter2" not in json.dumps(line)


async def test_without_logging_no_line_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(application(HealthFeature())) as client:
        answer = await client.get("/health")
    assert "x-request-id" in answer.headers
    assert capsys.readouterr().out == ""


async def test_two_services_in_one_process_share_nothing() -> None:
    async with serving(_app()) as first, serving(_app()) as second:
        await _create(first, "a")
        assert (await second.get(f"{URL}/$names")).json() == []
        assert (await first.get(f"{URL}/$names")).json() == ["a"]


async def test_the_same_application_can_be_started_again() -> None:
    app = _app()
    for _ in range(2):
        async with serving(app) as client:
            await _create(client, "a")
            assert (await client.get(f"{URL}/$names")).json() == ["a"]


async def test_a_read_request_that_writes_is_told_so() -> None:
    router = APIRouter()

    @router.get("/sneak")
    async def sneak(scope: RequestScope) -> dict[str, bool]:
        await scope.get(ThingManager).create(ThingIn(name="sneaked"))
        return {"written": True}

    async with serving(_app(routers=(router,))) as client:
        answer = await client.get("/sneak")
        assert (answer.status_code, answer.json()["code"]) == (500, "scope-reads-only")
        assert (await client.get(f"{URL}/$names")).json() == []


async def test_what_is_written_is_committed_before_the_answer() -> None:
    router = APIRouter()
    seen: list[int] = []

    @router.post("/write")
    async def write(scope: RequestScope) -> Response:
        await scope.get(ThingManager).create(ThingIn(name="written"))

        class Looking(Response):
            async def __call__(self, *arguments: Any) -> None:
                async with scope.services.scope.read() as other:
                    seen.append(await other.get(ThingManager).count())
                await super().__call__(*arguments)

        return Looking(status_code=204)

    async with serving(_app(routers=(router,))) as client:
        assert (await client.post("/write")).status_code == 204
    assert seen == [1]


async def test_an_error_after_a_write_undoes_it() -> None:
    router = APIRouter()

    @router.post("/write")
    async def write(scope: RequestScope) -> None:
        await scope.get(ThingManager).create(ThingIn(name="written"))
        raise RuntimeError

    async with serving(_app(routers=(router,))) as client:
        assert (await client.post("/write")).status_code == 500
        assert (await client.get(f"{URL}/$names")).json() == []


async def test_a_manager_that_no_feature_brings_is_named() -> None:
    router = APIRouter()

    @router.get("/wrong")
    async def wrong(thing: Annotated[Any, Depends(provided(dict))]) -> None: ...

    async with serving(application(routers=(router,))) as client:
        answer = await client.get("/wrong")
    assert (answer.status_code, answer.json()["code"]) == (500, "service-missing")
    assert "dict" in answer.json()["detail"]


async def test_only_declared_tables_are_made() -> None:
    app = _app()
    async with serving(app):
        database: Database = app.state.services.get(Database)
        async with database.session() as session:
            tables = await session.run_sync(lambda sync: _table_names(sync))
    assert "test_things" in tables
    others = {table.name for table in Thing.metadata.sorted_tables if table.name.startswith("test_")} - {"test_things"}
    assert tables & others == set()


def _table_names(session: Any) -> set[str]:
    from sqlalchemy import inspect

    return set(inspect(session.connection()).get_table_names())


async def test_the_database_of_a_service_is_closed_with_it() -> None:
    app = _app()
    async with serving(app):
        path = app.state.services.get(Database).path
        assert path.exists()
    assert not path.exists()


def test_a_check_with_a_strange_name_is_refused() -> None:
    async def check() -> Any: ...

    with pytest.raises(ConfigurationError, match="a b"):
        HealthFeature(checks={"a b": check})

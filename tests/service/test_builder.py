"""Services as their authors put them together."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.testclient import TestClient

from chapkit.api import (
    MLServiceBuilder,
    ServiceBuilder,
    ServiceInfo,
    get_artifact_manager,
    get_config_manager,
    get_session,
)
from chapkit.artifact import ArtifactHierarchy, ArtifactIn
from chapkit.artifact.manager import ArtifactManager
from chapkit.client import AsyncClient, Client
from chapkit.config.manager import ConfigManager
from chapkit.config.schemas import BaseConfig, ConfigIn
from chapkit.core.database import Database
from chapkit.core.sqlite import SqliteDatabase
from chapkit.ops.health_schemas import HealthState
from tests.service.chap_service import make_builder
from tests.service.ml_calls import FUTURE, TRAINING, MLCalls
from tests.serving import serving
from tests.things import Thing

pytestmark = pytest.mark.anyio

TREE = ArtifactHierarchy(name="tree")
Configs = Annotated[ConfigManager[Any], Depends(get_config_manager)]
Artifacts = Annotated[ArtifactManager, Depends(get_artifact_manager)]
Session = Annotated[AsyncSession, Depends(get_session)]


class Options(BaseConfig):
    alpha: float = 0.5


class Other(BaseConfig):
    beta: int = 1


def builder(**options: Any) -> ServiceBuilder:
    return ServiceBuilder(info=ServiceInfo(display_name="A service"), **options)


async def test_hooks_run_in_order_with_the_application() -> None:
    events: list[str] = []
    made = builder()

    def hook(name: str) -> Any:
        async def run(app: FastAPI) -> None:
            database: Database = app.state.database
            async with database.session() as session:
                await session.connection()
            events.append(name)

        return run

    for name in ("first", "second"):
        made.on_startup(hook(f"start {name}")).on_shutdown(hook(f"stop {name}"))
    async with serving(made.build()) as client:
        assert events == ["start first", "start second"]
        assert (await client.get("/api/v1/info")).status_code == 200
    assert events == ["start first", "start second", "stop first", "stop second"]


async def test_a_failing_start_ends_the_service_and_closes_the_database(tmp_path: Path) -> None:
    async def fail(app: FastAPI) -> None:
        raise ValueError("not today")

    app = builder(database_url=f"sqlite+aiosqlite:///{tmp_path / 'service.db'}").with_jobs().on_startup(fail).build()
    with pytest.raises(ValueError, match="not today"):
        async with serving(app):
            pass
    assert not (tmp_path / "service.db-wal").exists()


async def test_a_failing_end_is_told_after_everything_was_closed(tmp_path: Path) -> None:
    async def fail(app: FastAPI) -> None:
        raise ValueError("not today")

    app = builder(database_url=f"sqlite+aiosqlite:///{tmp_path / 'service.db'}").on_shutdown(fail).build()
    with pytest.raises(ExceptionGroup, match="shutdown hooks"):
        async with serving(app):
            pass
    assert not (tmp_path / "service.db-wal").exists()


@pytest.fixture
async def limited() -> AsyncIterator[httpx.AsyncClient]:
    async with serving(builder().with_config(Options).with_body_limit(1000).build()) as client:
        yield client


async def test_a_body_that_is_too_long_is_refused(limited: httpx.AsyncClient) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    headers = {"Content-Type": "application/json"}
    for content in (b"x" * 1001, in_pieces()):
        answer = await limited.post("/api/v1/configs", content=content, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert answer.json()["code"] == "body-too-large"
    body = {"name": "a", "data": {"text": "x" * 900}}
    assert (await limited.post("/api/v1/configs", json=body)).status_code == 201


async def test_a_training_that_is_too_long_is_refused() -> None:
    async with serving(make_builder().with_body_limit(1000).build()) as client:
        calls = MLCalls(client)
        answer = await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING, "x": "y" * 1000})
        assert answer.status_code == 413
        assert await calls.jobs() == []


def own_routes() -> APIRouter:
    router = APIRouter(prefix="/own")

    @router.post("/configs")
    async def create(configs: Configs, artifacts: Artifacts) -> dict[str, str]:
        config = await configs.create(ConfigIn[Options](name="own", data=Options(alpha=2)))
        artifact = await artifacts.create(ArtifactIn(data={"of": config.id}))
        return {"config": config.id, "artifact": artifact.id}

    @router.post("/failing")
    async def fail(configs: Configs) -> None:
        await configs.create(ConfigIn[Options](name="lost", data=Options()))
        raise LookupError("after the insert")

    @router.post("/things")
    async def add(session: Session) -> None:
        session.add(Thing(name="own"))

    return router


async def test_routes_of_ones_own_commit_before_the_answer(database_url: str) -> None:
    made = builder(database_url=database_url).with_config(Options).with_artifacts(hierarchy=TREE)
    app = made.with_entities(Thing).include_router(own_routes()).build()
    async with serving(app) as client:
        ids = (await client.post("/own/configs")).json()
        assert (await client.get(f"/api/v1/configs/{ids['config']}")).json()["data"]["alpha"] == 2
        assert (await client.get(f"/api/v1/artifacts/{ids['artifact']}")).status_code == 200
        assert (await client.post("/own/failing")).status_code == 500
        assert [item["name"] for item in (await client.get("/api/v1/configs")).json()] == ["own"]
        assert (await client.post("/own/things")).status_code == 200
        async with app.state.database.session() as session:
            assert (await session.scalars(select(Thing.name))).all() == ["own"]


async def test_a_dependency_is_replaced() -> None:
    async def who(request: Request) -> str:
        return "nobody"

    async def somebody() -> str:
        return "somebody"

    router = APIRouter()

    @router.get("/who")
    async def tell(name: Annotated[str, Depends(who)]) -> str:
        return name

    made = builder().include_router(router)
    plain = made.build()
    app = made.override_dependency(who, somebody).build()
    async with serving(plain) as client, serving(app) as other:
        assert ((await client.get("/who")).json(), (await other.get("/who")).json()) == ("nobody", "somebody")
    assert plain.dependency_overrides == {}


async def test_configurations_of_several_classes_do_not_mix(database_url: str) -> None:
    made = builder(database_url=database_url).with_config(Options)
    app = made.with_config(Other, name="other", prefix="/api/v1/others").with_artifacts(
        hierarchy=TREE, enable_config_linking=True
    )
    async with serving(app.build()) as client:
        first = (await client.post("/api/v1/configs", json={"name": "a", "data": {"alpha": 1}})).json()
        other = (await client.post("/api/v1/others", json={"name": "a", "data": {"beta": 2}})).json()
        assert (first["data"]["alpha"], other["data"]["beta"]) == (1.0, 2)
        assert [item["id"] for item in (await client.get("/api/v1/configs")).json()] == [first["id"]]
        assert [item["id"] for item in (await client.get("/api/v1/others")).json()] == [other["id"]]
        for path in (f"/api/v1/configs/{other['id']}", f"/api/v1/others/{first['id']}"):
            assert (await client.get(path)).status_code == 404
            assert (await client.delete(path)).status_code == 404
        assert "beta" in (await client.get("/api/v1/others/$schema")).json()["properties"]
        artifact = (await client.post("/api/v1/artifacts", json={"data": {}})).json()
        body = {"artifact_id": artifact["id"]}
        answer = await client.post(f"/api/v1/configs/{other['id']}/$link-artifact", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "config-unknown")
        await client.post(f"/api/v1/configs/{first['id']}/$link-artifact", json=body)
        assert (await client.delete(f"/api/v1/others/{other['id']}")).status_code == 204
        assert (await client.get("/api/v1/artifacts")).json() != []


async def test_a_given_database_is_used_and_left_open(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    app = builder().with_config(Options).with_database(database).build()
    async with serving(app) as client:
        assert app.state.database is database
        await client.post("/api/v1/configs", json={"name": "a", "data": {}})
    async with serving(app) as client:
        assert len((await client.get("/api/v1/configs")).json()) == 1
    async with database.session() as session:
        await session.connection()
    await database.dispose()


async def test_large_contents_lie_where_they_were_put(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'service.db'}"
    app = builder().with_database(url, data_dir=tmp_path / "elsewhere").with_artifacts(hierarchy=TREE).build()
    async with serving(app) as client:
        assert (await client.post("/api/v1/artifacts", json={"data": "x" * 100_000})).status_code == 201
    assert any((tmp_path / "elsewhere").rglob("*"))
    assert not (tmp_path / "service.data").exists()


async def test_ones_own_checks_decide_about_health() -> None:
    async def degraded() -> tuple[HealthState, str | None]:
        return HealthState.DEGRADED, "slow"

    async with serving(builder().with_health(checks={"disk": degraded}).build()) as client:
        body = (await client.get("/health")).json()
        assert (body["status"], body["checks"]["disk"]) == ("degraded", {"state": "degraded", "message": "slow"})


async def test_a_service_without_error_handlers_leaves_them_to_its_author() -> None:
    async with serving(builder(include_error_handlers=False).with_config(Options).build()) as client:
        answer = await client.post("/api/v1/configs", json={})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/json")


async def test_requests_are_logged_where_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for enabled, expected in ((True, 1), (False, 0)):
        async with serving(builder().with_logging(enabled).build()) as client:
            capsys.readouterr()
            await client.get("/api/v1/info", headers={"X-Request-ID": "mine"})
            lines = [line for line in capsys.readouterr().out.splitlines() if "http.request.complete" in line]
            assert len(lines) == expected, lines
        logging.getLogger().handlers[:] = [h for h in logging.getLogger().handlers if h.name != "chapkit"]


async def test_a_model_works_without_asking_for_links() -> None:
    made = make_builder()
    made.with_artifacts(hierarchy=TREE)
    async with serving(made.build()) as client:
        calls = MLCalls(client)
        config = await calls.config()
        model = await calls.trained(config)
        assert (await client.get(f"/api/v1/artifacts/{model}/$config")).json()["id"] == config


async def test_a_model_works_under_other_prefixes() -> None:
    made = make_builder()
    made.with_config(Options, prefix="/c").with_jobs(prefix="/j").with_artifacts(hierarchy=TREE, prefix="/a")
    async with serving(made.build()) as client:
        config = (await client.post("/c", json={"name": "a", "data": {"noise": 0.5}})).json()
        body = {"config_id": config["id"], "data": TRAINING}
        answer = await client.post("/api/v1/ml/$train", json=body, headers={"Prefer": "wait=30"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-location"] == f"/a/{answer.json()['id']}"
        accepted = await client.post("/api/v1/ml/$train", json=body)
        assert accepted.headers["location"].endswith(f"/j/{accepted.json()['job_id']}")
        assert (await client.get(accepted.headers["location"])).status_code == 200


async def test_the_document_of_the_interface_is_there() -> None:
    async with serving(make_builder().build()) as client:
        document = (await client.get("/openapi.json")).json()
        assert document["info"]["title"] == "Mean model"
        schemas = document["components"]["schemas"]
        assert {"TrainRequest", "PredictRequest", "TrainResponse", "PredictResponse", "JobRecord"} <= schemas.keys()


def test_the_test_client_of_the_framework_lets_jobs_go_on() -> None:
    with TestClient(make_builder().build()) as client:
        config = client.post("/api/v1/configs", json={"name": "a", "data": {}}).json()["id"]
        train = client.post("/api/v1/ml/$train", json={"config_id": config, "data": TRAINING}).json()
        assert client.get(f"/api/v1/jobs/{train['job_id']}", params={"wait": 30}).json()["status"] == "completed"
        body = {"artifact_id": train["artifact_id"], "future": FUTURE}
        answer = client.post("/api/v1/ml/$predict", json=body, headers={"Prefer": "wait=30"})
        assert answer.status_code == 200


def test_the_client_of_the_library_reads_the_description_of_a_model() -> None:
    with Client(app=make_builder().build()) as client:
        info = client.info()
        assert (info.id, info.display_name) == ("mean-model", "Mean model")
        assert client.configs.create("a", {"n_lags": 4}).data.model_dump()["n_lags"] == 4


async def test_the_client_reads_it_without_blocking() -> None:
    async with AsyncClient(app=make_builder().build()) as client:
        assert (await client.health()).status is HealthState.HEALTHY


def test_a_model_builder_is_a_builder() -> None:
    assert issubclass(MLServiceBuilder, ServiceBuilder)

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from chapkit.api.assembly import Plan, assemble
from chapkit.api.info import InfoFeature, ServiceInfo
from chapkit.client import (
    AsyncClient,
    Client,
    Conflict,
    Invalid,
    NotFound,
    PreconditionFailed,
)
from chapkit.config.feature import ConfigFeature
from chapkit.config.schemas import BaseConfig
from chapkit.core.ids import ULID
from chapkit.ops.database import DatabaseFeature
from chapkit.ops.health import HealthFeature
from chapkit.ops.health_schemas import HealthState
from chapkit.ops.system import SystemFeature

pytestmark = pytest.mark.anyio


class Model(BaseConfig):
    alpha: float = 0.5
    label: str = "x"


def make_app(url: str) -> FastAPI:
    info = ServiceInfo(display_name="Client Test", version="1.2.3")
    features = (InfoFeature(info), DatabaseFeature(url=url), HealthFeature(), SystemFeature(), ConfigFeature(Model))
    return assemble(Plan(info=info, features=features))


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return make_app(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")


@pytest.fixture
def client(app: FastAPI) -> Iterator[Client]:
    with Client(app=app) as client:
        yield client


@pytest.fixture
async def async_client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(app=app) as client:
        yield client


def test_a_service_tells_about_itself(client: Client) -> None:
    info, system = client.info(), client.system.system()
    assert (info.id, info.display_name, info.version) == ("client-test", "Client Test", "1.2.3")
    assert system.database == "sqlite"
    assert client.health().status is HealthState.HEALTHY


def test_a_configuration_lives_from_creation_to_deletion(client: Client) -> None:
    configs = client.configs.typed(Model)
    created = configs.create("first", {"alpha": 2}, tags=["a"])
    assert (created.data.alpha, created.data.label, created.tags) == (2, "x", ["a"])
    assert configs.get(created.id) == created
    changed = configs.patch(created.id, {"data": {"label": "y", "alpha": None}})
    assert (changed.data.alpha, changed.data.label) == (0.5, "y")
    replaced = configs.replace(created.id, "second", Model(alpha=3))
    assert (replaced.name, replaced.data.alpha, replaced.data.label, replaced.tags) == ("second", 3, "x", [])
    assert replaced.created_at == created.created_at
    configs.delete(created.id)
    with pytest.raises(NotFound) as caught:
        configs.get(created.id)
    assert caught.value.code == "not-found"
    assert caught.value.trace_id


def test_the_second_change_of_one_state_is_refused(client: Client) -> None:
    id = client.configs.create("a", {}).id
    _, etag = client.configs.get_with_etag(id)
    client.configs.patch(id, {"name": "b"}, etag=etag)
    with pytest.raises(PreconditionFailed):
        client.configs.patch(id, {"name": "c"}, etag=etag)
    with pytest.raises(PreconditionFailed):
        client.configs.delete(id, etag=etag)
    assert client.configs.get(id).name == "b"


def test_refusals_are_errors_with_a_code(client: Client) -> None:
    id = ULID()
    client.configs.create("a", {}, id=id)
    with pytest.raises(Conflict):
        client.configs.create("b", {}, id=id)
    with pytest.raises(Invalid) as caught:
        client.configs.create("b", {"alpha": "high"})
    assert caught.value.code == "request-invalid"
    assert caught.value.problem["errors"][0]["field"] == "data.alpha"
    with pytest.raises(Invalid) as caught:
        client.configs.get("nonsense")
    assert caught.value.code == "invalid-ulid"
    with pytest.raises(Invalid) as caught:
        client.configs.list(filter="name:equals:a")
    assert caught.value.extensions["did_you_mean"] == []
    with pytest.raises(Invalid, match=r"data\.other"):
        client.configs.create("b", {"other": float("nan")})


def test_the_newest_of_a_name_is_found(client: Client) -> None:
    names = ["a", "b:c", "a"]
    ids = [client.configs.create(name, {}).id for name in names]
    newest, other = client.configs.find_by_name("a"), client.configs.find_by_name("b:c")
    assert newest is not None
    assert other is not None
    assert (newest.id, other.id) == (ids[2], ids[1])
    assert client.configs.find_by_name("d") is None


def test_a_collection_is_listed_paged_and_iterated(client: Client) -> None:
    result = client.configs.create_many({"name": f"n{i}", "data": {"alpha": i}} for i in range(7))
    assert (result.total, result.failed, client.configs.stats().total) == (7, 0, 7)
    assert [item.name for item in client.configs.list("data.alpha:ge:5", sort="-name")] == ["n6", "n5"]
    assert len(client.configs.list(limit=3)) == 3
    page = client.configs.page(3, 3)
    assert (len(page.items), page.total, page.pages) == (1, 7, 3)
    assert [item.name for item in client.configs.iterate(3)] == [f"n{i}" for i in range(7)]
    assert [item.name for item in client.configs.iterate(1, filter="data.alpha:ge:5")] == ["n5", "n6"]


def test_many_are_refused_together_or_one_by_one(client: Client) -> None:
    items = [{"name": "a", "data": {}}, {"name": "", "data": {}}]
    with pytest.raises(Invalid) as caught:
        client.configs.create_many(items)
    assert caught.value.code == "bulk-refused"
    assert client.configs.stats().total == 0
    result = client.configs.create_many(items, partial=True)
    assert (result.succeeded, result.failed, result.errors[0].index) == (1, 1, 1)
    created = result.items[0]
    assert created is not None
    assert client.configs.delete_many([created.id]).succeeded == 1


def test_the_schema_is_that_of_the_data(client: Client) -> None:
    assert "alpha" in client.configs.schema()["properties"]


def test_what_was_stored_is_there_for_the_next_client(app: FastAPI) -> None:
    with Client(app=app) as client:
        id = client.configs.create("kept", {}).id
    with Client(app=app) as client:
        assert client.configs.get(id).name == "kept"


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match=r"file|directory"):
        with Client(app=make_app(f"sqlite+aiosqlite:///{tmp_path / 'file' / 'service.db'}")):
            pass


async def test_the_async_client_does_it_all_on_its_own_loop(async_client: AsyncClient) -> None:
    configs = async_client.configs.typed(Model)
    created = await configs.create("first", {"alpha": 2})
    assert await configs.get(created.id) == created
    _, etag = await configs.get_with_etag(created.id)
    assert (await configs.patch(created.id, {"data": {"alpha": 3}}, etag=etag)).data.alpha == 3
    with pytest.raises(PreconditionFailed):
        await configs.replace(created.id, "b", {}, etag=etag)
    found = await configs.find_by_name("first")
    assert found is not None
    assert found.data.alpha == 3
    await configs.create_many([{"name": f"n{i}", "data": {}} for i in range(4)])
    assert [item.name async for item in configs.iterate(2)] == ["first", "n0", "n1", "n2", "n3"]
    assert (await configs.page(1, 2)).total == 5
    assert len(await configs.list(limit=3)) == 3
    assert (await configs.delete_many([created.id])).succeeded == 1
    assert (await configs.stats()).total == 4
    assert "alpha" in (await configs.schema())["properties"]
    with pytest.raises(NotFound):
        await configs.delete(created.id)


async def test_the_async_client_is_told_about_the_service(async_client: AsyncClient) -> None:
    assert (await async_client.info()).id == "client-test"
    assert (await async_client.health()).status is HealthState.HEALTHY
    assert (await async_client.system.system()).database == "sqlite"

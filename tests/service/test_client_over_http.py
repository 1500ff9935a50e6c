import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from chapkit.api.assembly import Plan, assemble
from chapkit.api.info import InfoFeature, ServiceInfo
from chapkit.client import AsyncClient, Client, ConnectionFailed, NotFound, Retries
from chapkit.config.feature import ConfigFeature
from chapkit.config.schemas import BaseConfig
from chapkit.core.ids import ULID
from chapkit.ops.database import DatabaseFeature
from chapkit.ops.health import HealthFeature
from chapkit.ops.health_schemas import HealthState
from chapkit.ops.system import SystemFeature

pytestmark = pytest.mark.anyio


class Server(uvicorn.Server):
    """Tells when it is ready to answer."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path: Path = tmp_path_factory.mktemp("service") / "service.db"
    info = ServiceInfo(display_name="Over HTTP")
    database = DatabaseFeature(url=f"sqlite+aiosqlite:///{path}")
    features = (InfoFeature(info), database, HealthFeature(), SystemFeature(), ConfigFeature(BaseConfig))
    app = assemble(Plan(info=info, features=features))
    server = Server(uvicorn.Config(app, log_config=None, lifespan="on", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        assert server.ready.wait(30)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_a_client_works_over_the_network(url: str) -> None:
    with Client(url) as client:
        assert client.info().display_name == "Over HTTP"
        assert client.health().status is HealthState.HEALTHY
        created = client.configs.create("a", {"free": [1, 2]})
        assert client.configs.get(created.id).data.model_dump()["free"] == [1, 2]
        client.configs.delete(created.id)
        with pytest.raises(NotFound):
            client.configs.delete(created.id)


def test_iterating_follows_real_links(url: str) -> None:
    with Client(url) as client:
        name = f"many-{ULID()}"
        ids = [item.id for item in client.configs.create_many([{"name": name, "data": {}}] * 5).items if item]
        assert [item.id for item in client.configs.iterate(2, filter=f"name:eq:{name}")] == ids
        assert client.configs.delete_many(ids).succeeded == 5


async def test_an_async_client_works_over_the_network(url: str) -> None:
    async with AsyncClient(f"{url}/") as client:
        created = await client.configs.create("b", {})
        assert [item.id async for item in client.configs.iterate(filter="name:eq:b")] == [created.id]
        assert (await client.request("HEAD", "/health")).status_code == 200


def test_a_stream_is_read_while_it_comes(url: str) -> None:
    with Client(url) as client:
        with client.transport.http.stream("GET", "/health/$stream") as response:
            assert next(response.iter_lines()).startswith(("data:", "event:", ":"))


def test_a_service_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pauses: list[float] = []
    with Client(f"http://127.0.0.1:{port}", retries=Retries(sleep=pauses.append)) as client:
        with pytest.raises(ConnectionFailed, match=f"http://127.0.0.1:{port}/health got no answer") as caught:
            client.health()
    assert caught.value.url == f"http://127.0.0.1:{port}/health"
    assert len(pauses) == 2

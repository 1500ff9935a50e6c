from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI, Request

from chapkit.web.body_limit import BodyLimitMiddleware
from chapkit.web.problems import add_error_handlers

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    app = FastAPI()
    add_error_handlers(app)
    app.add_middleware(BodyLimitMiddleware, max_bytes=100)

    @app.post("/json")
    async def read_json(body: list[int]) -> int:
        return len(body)

    @app.post("/bytes")
    async def read_bytes(request: Request) -> int:
        return len(await request.body())

    @app.post("/deaf")
    async def read_nothing() -> int:
        return 0

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        yield client


async def _in_parts(size: int) -> AsyncGenerator[bytes]:
    yield b"["
    for _ in range(size - 2):
        yield b" "
    yield b"]"


async def test_a_body_of_the_largest_size_passes(client: httpx.AsyncClient) -> None:
    assert (await client.post("/bytes", content=b"x" * 100)).json() == 100
    assert (await client.post("/bytes", content=_in_parts(100))).json() == 100


@pytest.mark.parametrize("path", ["/json", "/bytes", "/deaf"])
async def test_an_announced_body_beyond_the_limit_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, content=b"x" * 101)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/json", "/bytes"])
async def test_a_body_in_parts_beyond_the_limit_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, content=_in_parts(101), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")

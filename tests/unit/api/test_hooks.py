import pytest
from fastapi import FastAPI

from chapkit.api.hooks import run_shutdown_hooks

pytestmark = pytest.mark.anyio


async def test_every_hook_runs_whatever_the_others_raise() -> None:
    called: list[str] = []

    async def first(app: FastAPI) -> None:
        called.append("first")
        raise ValueError("first")

    async def second(app: FastAPI) -> None:
        called.append("second")

    async def third(app: FastAPI) -> None:
        called.append("third")
        raise KeyError("third")

    with pytest.raises(ExceptionGroup) as caught:
        await run_shutdown_hooks(FastAPI(), (first, second, third))
    assert called == ["first", "second", "third"]
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]


async def test_without_hooks_nothing_happens() -> None:
    await run_shutdown_hooks(FastAPI(), ())

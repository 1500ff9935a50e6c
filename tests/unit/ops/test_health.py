import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from chapkit.core.database import Database
from chapkit.core.errors import DatabaseBusyError, UnavailableError
from chapkit.core.services import Services
from chapkit.ops.health import HealthFeature
from chapkit.ops.health_schemas import HealthState
from chapkit.web.feature import Feature, HealthChecks
from chapkit.web.sse import format_sse_event
from tests.serving import application, serving

pytestmark = pytest.mark.anyio


def _says(state: HealthState, message: str | None = None) -> Any:
    async def check() -> tuple[HealthState, str | None]:
        return state, message

    return check


def _raises(error: Exception) -> Any:
    async def check() -> tuple[HealthState, str | None]:
        raise error

    return check


async def _hangs() -> tuple[HealthState, str | None]:
    await asyncio.Event().wait()
    return HealthState.HEALTHY, None


@asynccontextmanager
async def _serving(*others: Feature, **options: Any) -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(application(HealthFeature(**options), *others)) as client:
        yield client


async def _health(**options: Any) -> tuple[int, dict[str, Any]]:
    async with _serving(**options) as client:
        answer = await client.get("/health")
        return answer.status_code, answer.json()


async def test_a_service_with_a_database_is_healthy() -> None:
    assert await _health() == (200, {"status": "healthy", "checks": {"database": {"state": "healthy"}}})


async def test_a_service_without_checks_says_only_that_it_is_healthy() -> None:
    assert await _health(include_database_check=False) == (200, {"status": "healthy"})


@pytest.mark.parametrize(
    ("states", "worst", "status"),
    [
        (["healthy", "healthy"], "healthy", 200),
        (["healthy", "degraded"], "degraded", 200),
        (["unhealthy", "degraded"], "unhealthy", 503),
    ],
)
async def test_the_worst_check_decides(states: list[str], worst: str, status: int) -> None:
    checks = {f"c{number}": _says(HealthState(state), state) for number, state in enumerate(states)}
    code, body = await _health(checks=checks)
    assert (code, body["status"]) == (status, worst)
    assert body["checks"]["c1"] == {"state": states[1], "message": states[1]}


async def test_a_check_that_hangs_is_unhealthy_and_holds_up_no_other() -> None:
    code, body = await _health(checks={"hangs": _hangs, "fine": _says(HealthState.HEALTHY)}, timeout=0.05)
    assert (code, body["checks"]["fine"]["state"]) == (503, "healthy")
    assert body["checks"]["hangs"] == {"state": "unhealthy", "message": "No answer within 0.05 s"}


async def test_a_check_that_fails_does_not_tell_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    code, body = await _health(checks={"fails": _raises(ValueError("password hunter2"))})
    assert (code, body["checks"]["fails"]) == (503, {"state": "unhealthy", "message": "Check failed: ValueError"})
    assert "hunter2" in capsys.readouterr().out


async def test_a_check_that_fails_in_a_known_way_tells_why() -> None:
    _, body = await _health(checks={"fails": _raises(UnavailableError("the queue is full"))})
    assert body["checks"]["fails"]["message"] == "Check failed: the queue is full"


async def test_a_check_that_returns_nonsense_is_unhealthy() -> None:
    async def nonsense() -> Any:
        return "splendid", None

    code, body = await _health(checks={"odd": nonsense})
    assert (code, body["checks"]["odd"]["state"]) == (503, "unhealthy")


async def test_a_database_that_is_gone_is_unhealthy(tmp_path: Any) -> None:
    app = application(HealthFeature(), url=f"sqlite:///{tmp_path / 'deep' / 'a.db'}")
    async with serving(app) as client:
        assert (await client.get("/health")).status_code == 200


async def test_a_database_that_another_process_holds_is_degraded_until_it_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chapkit.core.sqlite.PATIENCE", 0.01)
    app = application(HealthFeature(), url=f"sqlite:///{tmp_path / 'a.db'}")
    async with serving(app) as client:
        with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseBusyError):
                await _write(app.state.services)
            other.execute("ROLLBACK")
        answer = await client.get("/health")
        check = answer.json()["checks"]["database"]
        assert (answer.status_code, check["state"]) == (200, "degraded")
        assert "The last write found the database held by another process for 0 seconds" in check["message"]
        await _write(app.state.services)
        assert (await client.get("/health")).json()["checks"]["database"] == {"state": "healthy"}


async def _write(services: Services) -> None:
    async with services.get(Database).writing():
        pass


async def test_features_bring_checks_of_their_own() -> None:
    class Checked(Feature):
        kind = "checked"

        def register(self, services: Services) -> None:
            async def check(services: Services) -> tuple[str, str | None]:
                return "degraded", "slow"

            services.get(HealthChecks).add("checked", check)

    async with _serving(Checked()) as client:
        body = (await client.get("/health")).json()
    assert body["checks"]["checked"] == {"state": "degraded", "message": "slow"}


async def test_the_stream_begins_with_the_present_state() -> None:
    feature = HealthFeature(checks={"c": _says(HealthState.DEGRADED, "slow")}, include_database_check=False)
    app = application(feature)
    async with serving(app):
        stream = feature._watch(app.state.services, 0.001)
        first, second = await anext(stream), await anext(stream)
        await stream.aclose()
    expected = '{"status":"degraded","checks":{"c":{"state":"degraded","message":"slow"}}}'
    assert first == second == f"data: {expected}\n\n".encode()


@pytest.mark.parametrize("interval", ["0", "0.01", "61", "x", "nan"])
async def test_the_pause_of_the_stream_has_bounds(interval: str) -> None:
    async with _serving() as client:
        answer = await client.get("/health/$stream", params={"poll_interval": interval})
    assert answer.status_code == 422


async def test_the_prefix_can_be_chosen() -> None:
    async with _serving(prefix="/alive") as client:
        assert (await client.get("/alive")).status_code == 200
        assert (await client.get("/health")).status_code == 404


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("a", "data: a\n\n"),
        ("a\nb", "data: a\ndata: b\n\n"),
        ("a\r\nb\rc", "data: a\ndata: b\ndata: c\n\n"),
        ("", "data: \n\n"),
        ("a\u2028b", "data: a\u2028b\n\n"),
    ],
)
def test_an_event_has_a_line_of_data_for_every_line(data: str, text: str) -> None:
    assert format_sse_event(data) == text.encode()


def test_an_event_may_have_an_id_and_a_name() -> None:
    assert format_sse_event("a", id="7", event="done") == b"id: 7\nevent: done\ndata: a\n\n"

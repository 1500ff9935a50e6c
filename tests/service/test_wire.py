"""Whole answers, compared with documents that are kept beside the tests; the order of members counts.

A document that is not there is written, so remove one to renew it, and read what was written.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chapkit.data import DataFrame
from tests.service.chap_service import INFO, make_app
from tests.service.ml_calls import FUTURE, TRAINING, MLCalls, service
from tests.serving import serving

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent / "wire"
_PLACEHOLDERS = (
    (re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b"), "<ulid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
)


def same(name: str, document: Any) -> None:
    """Compare the document with the kept one, once its ids and times are taken out."""
    found = json.dumps(_plain(document), indent=2, ensure_ascii=False) + "\n"
    path = FOLDER / f"{name}.json"
    if not path.exists():
        path.write_text(found, encoding="utf-8")
        pytest.fail(f"{path.name} was not there and has been written")
    assert found == path.read_text(encoding="utf-8")


def _plain(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _plain(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if name == "duration_seconds":
        assert isinstance(value, float)
        return "<seconds>"
    if name == "sha256":
        return "<sha256>"
    if isinstance(value, str):
        for pattern, placeholder in _PLACEHOLDERS:
            value = pattern.sub(placeholder, value)
        # Where the library and the tests lie is no part of the contract.
        return re.sub(r'File "[^"]*", line \d+', 'File "<file>", line <line>', value)
    return value


async def test_the_description_has_the_members_that_every_platform_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_REVISION", raising=False)
    async with serving(make_app()) as client:
        answer = await client.get("/api/v1/info")
        same("info", answer.json())
        assert len(answer.json()) == 11


async def test_the_description_names_a_known_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_REVISION", "0123456789abcdef0123456789abcdef01234567")
    info = type(INFO).model_validate(INFO.model_dump())
    async with serving(make_app(info=info)) as client:
        same("info_with_revision", (await client.get("/api/v1/info")).json())


async def test_a_run_from_its_configuration_to_its_prediction() -> None:
    async with serving(make_app()) as client:
        calls = MLCalls(client)
        config = await client.post("/api/v1/configs", json={"name": "mean", "data": {"n_lags": 5, "free": [1]}})
        same("config", config.json())
        same("configs", (await client.get("/api/v1/configs")).json())
        accepted = await calls.post("$train", {"config_id": config.json()["id"], "data": TRAINING})
        same("train", accepted.json())
        same("job_completed", await calls.finished(accepted))
        model = accepted.json()["artifact_id"]
        predict = {"artifact_id": model, "historic": TRAINING, "future": FUTURE}
        predicted = await calls.post("$predict", predict)
        same("predict", predicted.json())
        await calls.finished(predicted)
        same("prediction", await calls.artifact(predicted.json()["artifact_id"]))
        same("prediction_listed", (await client.get("/api/v1/artifacts")).json()[1])
        same("model", await calls.artifact(model))


async def broken(config: Any, data: DataFrame) -> None:
    raise ValueError(f"cannot train on {len(data)} rows")


async def test_a_run_that_fails() -> None:
    async with serving(service(broken)) as client:
        calls = MLCalls(client)
        accepted = await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING})
        same("job_failed", await calls.finished(accepted))
        same("artifact_of_a_failure", await calls.artifact(accepted.json()["artifact_id"]))


async def test_refusals() -> None:
    async with serving(make_app()) as client:
        calls = MLCalls(client)
        body = {"config_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "data": TRAINING}
        same("config_unknown", (await calls.post("$train", body, X_Request_ID="a")).json())
        uneven = {"columns": ["time_period", "location"], "data": [["2021-01", "a"], ["2021-02"]]}
        body = {"config_id": await calls.config(), "data": uneven}
        same("rows_unequal", (await calls.post("$train", body, X_Request_ID="a")).json())

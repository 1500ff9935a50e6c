"""The requests of one evaluation, in the order in which the platform's clients send them."""

import itertools
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.chap_service import SAMPLES, make_app
from tests.service.ml_calls import POLYGONS
from tests.serving import serving

pytestmark = pytest.mark.anyio

ULID_TEXT = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}").fullmatch
INFO = [
    "id",
    "display_name",
    "version",
    "description",
    "model_metadata",
    "period_type",
    "min_prediction_periods",
    "max_prediction_periods",
    "allow_free_additional_continuous_covariates",
    "required_covariates",
    "requires_geo",
]
MONTHS = [f"{year}-{month:02}" for year in (2019, 2020) for month in range(1, 13)]
WEEKS = [f"2020-W{week:02}" for week in range(1, 25)]
LOCATIONS = ("Attapeu", "Bokeo (north) é")
COLUMNS = ["time_period", "rainfall", "mean_temperature", "disease_cases", "population", "parent", "location"]


class Platform:
    """Sends what the platform sends; knows nothing but HTTP."""

    def __init__(self, client: httpx.AsyncClient, era: str) -> None:
        self.client = client
        self.era = era
        self.options: dict[str, Any] = {"n_lags": 5, "noise": 0.25}

    async def get(self, path: str) -> Any:
        answer = await self.client.get(path, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def configure(self) -> dict[str, Any]:
        data = dict(self.options) if self.era == "new" else {"user_option_values": self.options, "id": 1}
        answer = await self.client.post("/api/v1/configs", json={"name": f"mean-model:{self.era}", "data": data})
        assert answer.status_code == 201
        config: dict[str, Any] = answer.json()
        listed = await self.get("/api/v1/configs")
        assert config in listed
        return config

    def run_info(self, periods: int, *, train: bool) -> dict[str, Any]:
        if self.era == "new":
            return {"prediction_periods": periods, "additional_continuous_covariates": []}
        return {"prediction_length": 1 if train else periods, "additional_continuous_covariates": []}

    async def run(self, path: str, body: dict[str, Any]) -> str:
        answer = await self.client.post(path, json=body)
        assert answer.status_code == 202, answer.text
        accepted = answer.json()
        assert {"job_id", "artifact_id", "message"} <= accepted.keys()
        assert ULID_TEXT(accepted["job_id"])
        job = (await self.client.get(f"/api/v1/jobs/{accepted['job_id']}", params={"wait": 30})).json()
        assert job["status"] == "completed", job
        assert job["id"] == accepted["job_id"]
        assert job["artifact_id"] == accepted["artifact_id"]
        return str(accepted["artifact_id"])


@pytest.fixture(params=["old", "new"])
async def platform(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Platform]:
    async with serving(make_app(f"sqlite+aiosqlite:///{tmp_path}/service.db")) as client:
        yield Platform(client, request.param)


def frame(periods: Iterable[str], *, cases: bool) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for place, location in enumerate(LOCATIONS):
        for index, period in enumerate(periods):
            number = None if index == 2 else 10.0 * (place + 1)
            rows.append([period, 100.5, 27.25, number, 5000.0, "-", location])
    if cases:
        return {"columns": COLUMNS, "data": rows}
    return {"columns": [name for name in COLUMNS if name != "disease_cases"], "data": [[*r[:3], *r[4:]] for r in rows]}


def check_prediction(artifact: dict[str, Any], config_id: str, model: str, periods: list[str]) -> None:
    assert artifact.keys() == {"id", "created_at", "updated_at", "tags", "data", "parent_id", "level"}
    assert (artifact["parent_id"], artifact["level"], artifact["tags"]) == (model, 1, [])
    data = artifact["data"]
    assert list(data) == ["type", "metadata", "content", "content_type", "content_size"]
    assert data["type"] == "ml_prediction"
    assert (data["metadata"]["status"], data["metadata"]["config_id"]) == ("success", config_id)
    content = data["content"]
    names = content["columns"]
    samples = [name for name in names if name.startswith("sample_")]
    assert samples == [f"sample_{number}" for number in range(SAMPLES)]
    rows = [dict(zip(names, row, strict=True)) for row in content["data"]]
    assert [(row["location"], row["time_period"]) for row in rows] == list(itertools.product(LOCATIONS, periods))
    assert [row["sample_2"] for row in rows] == [10.5] * len(periods) + [20.5] * len(periods)


@pytest.mark.parametrize(("periods", "has_polygons"), [(MONTHS, True), (WEEKS, False)], ids=["months", "weeks"])
async def test_a_backtest_is_answered(platform: Platform, periods: list[str], has_polygons: bool) -> None:
    for _ in range(3):
        info = await platform.get("/api/v1/info")
        assert list(info) == INFO
    config = await platform.configure()
    assert ULID_TEXT(config["id"])
    assert config["data"]["prediction_periods"] == 3
    assert config["data"]["additional_continuous_covariates"] == []
    assert platform.options.items() <= config["data"].items()
    assert ("id" in config["data"]) is (platform.era == "old")
    assert "user_option_values" not in config["data"]
    schema = await platform.get("/api/v1/configs/$schema")
    assert {"n_lags", "noise", "prediction_periods"} <= schema["properties"].keys()
    assert schema.get("required", []) == []
    assert schema == await platform.get("/api/v1/configs/%24schema")
    geo = {"geo": POLYGONS} if has_polygons else {}
    train = {"config_id": config["id"], "data": frame(periods[:12], cases=True), **geo}
    model = await platform.run("/api/v1/ml/$train", {**train, "run_info": platform.run_info(3, train=True)})
    for end in (12, 15, 18):
        asked = periods[end : end + 3]
        predict = {"artifact_id": model, "historic": frame(periods[:end], cases=True), **geo}
        body = {**predict, "future": frame(asked, cases=False), "run_info": platform.run_info(3, train=False)}
        prediction = await platform.run("/api/v1/ml/$predict", body)
        check_prediction(await platform.get(f"/api/v1/artifacts/{prediction}"), config["id"], model, asked)
    assert [job["status"] for job in await platform.get("/api/v1/jobs")] == ["completed"] * 4


async def test_the_probe_for_defaults_leaves_nothing_behind(platform: Platform) -> None:
    answer = await platform.client.post("/api/v1/configs", json={"name": "__probe_1__", "data": {}})
    assert answer.status_code == 201
    assert (await platform.client.delete(f"/api/v1/configs/{answer.json()['id']}")).status_code == 204
    assert await platform.get("/api/v1/configs") == []


async def test_what_the_platform_reads_of_stored_runs_is_there(platform: Platform) -> None:
    config = await platform.configure()
    body = {"config_id": config["id"], "data": frame(MONTHS[:12], cases=True)}
    model = await platform.run("/api/v1/ml/$train", body)
    predict = {"artifact_id": model, "historic": frame(MONTHS[:12], cases=True)}
    prediction = await platform.run("/api/v1/ml/$predict", {**predict, "future": frame(MONTHS[12:14], cases=False)})
    items = {item["id"]: item for item in await platform.get("/api/v1/artifacts?limit=200")}
    assert [items[id]["data"]["type"] for id in (model, prediction)] == ["ml_training_workspace", "ml_prediction"]
    assert all(item["data"]["metadata"]["config_id"] == config["id"] for item in items.values())
    assert all("content" not in item["data"] for item in items.values())
    rows = await platform.get(f"/api/v1/artifacts/{prediction}/$download")
    assert [row["time_period"] for row in rows] == MONTHS[12:14] * 2
    stored = await platform.get(f"/api/v1/artifacts/{model}")
    assert stored["data"]["content"]["_type"]
    tree = await platform.get(f"/api/v1/artifacts/{model}/$tree")
    assert tree["config"] == config
    assert [child["id"] for child in tree["children"]] == [prediction]

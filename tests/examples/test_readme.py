import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from chapkit.client import Client

README = (Path(__file__).parents[2] / "README.md").read_text()
_blocks = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def blocks() -> list[str]:
    return _blocks.findall(README)


@pytest.fixture
def app(blocks: list[str], folder: Path) -> FastAPI:
    return _run(blocks[0])["app"]


def test_the_service_has_twelve_lines_at_most(blocks: list[str]) -> None:
    assert len([line for line in blocks[0].splitlines() if line.strip()]) <= 12


def test_every_block_of_python_runs(blocks: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks:
        names = _run(block, names)
    assert capsys.readouterr().out.endswith("healthy\n")


def test_the_service_trains_and_predicts_as_the_readme_says(app: FastAPI) -> None:
    with Client(app=app, headers={"Prefer": "wait=30"}) as client:
        config = client.configs.create("weekly", {"prediction_periods": 2})
        data = {"columns": ["week", "cases"], "data": [["2025W01", 12], ["2025W02", 15]]}
        model = client.request("POST", "/api/v1/ml/$train", json={"config_id": config.id, "data": data}).json()
        future = {"columns": ["week"], "data": [["2025W03"], ["2025W04"]]}
        body = {"artifact_id": model["id"], "future": future}
        prediction = client.request("POST", "/api/v1/ml/$predict", json=body).json()
        (newest,) = client.request("GET", "/api/v1/jobs", params={"limit": 1}).json()
    rows = prediction["data"]["content"]["data"]
    assert rows == [["2025W03", 13.5], ["2025W04", 13.5]]
    assert (newest["kind"], newest["status"]) == ("predict", "completed")
    assert '# [["2025W03",13.5],["2025W04",13.5]]' in README
    assert '# {"kind":"predict","status":"completed"}' in README


def _run(block: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    # A model that is pickled must be found again by the name of its module, so the block gets one.
    scope = names if names is not None else {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), scope)
    return scope

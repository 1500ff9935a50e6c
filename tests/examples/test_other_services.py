from pathlib import Path

import httpx
import pytest

from chapkit.client import Client
from examples import artifact_api, core_api, diabetes

ARTIFACTS = "/api/v1/artifacts"
USERS = "/api/v1/users"


def test_artifacts_can_be_read_and_nothing_else(folder: Path) -> None:
    with Client(app=artifact_api.app) as client:
        (experiment,) = client.request("GET", ARTIFACTS, params={"filter": "level:eq:0"}).json()
        tree = client.request("GET", f"{ARTIFACTS}/{experiment['id']}/$tree").json()
        (model,) = tree["children"]
        (prediction,) = model["children"]
        labels = [tree["level_label"], model["level_label"], prediction["level_label"]]
        assert labels == ["experiment", "model", "prediction"]
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            path = ARTIFACTS if method == "POST" else f"{ARTIFACTS}/{experiment['id']}"
            assert client.request(method, path, json={"data": 1}).status_code == 405


def test_a_frame_is_downloaded(folder: Path) -> None:
    with Client(app=artifact_api.app) as client:
        (prediction,) = client.request("GET", ARTIFACTS, params={"filter": "level:eq:2"}).json()
        stored = client.request("GET", f"{ARTIFACTS}/{prediction['id']}").json()["data"]["content"]
        assert stored["columns"] == ["week", "cases"]
        records = client.request("GET", f"{ARTIFACTS}/{prediction['id']}/$download").json()
        assert records == [{"week": "2024W01", "cases": 12.0}, {"week": "2024W02", "cases": 15.5}]


def test_users_have_all_generic_routes(folder: Path) -> None:
    with Client(app=core_api.app) as client:
        (ada,) = client.request("GET", USERS).json()
        assert ada["email"] == "ada@example.org"
        created = client.request("POST", USERS, json={"name": "Grace", "email": "Grace@Example.org"})
        assert created.headers["Location"].endswith(f"{USERS}/{created.json()['id']}")
        changed = client.request("PATCH", f"{USERS}/{ada['id']}", json={"email": "ADA@example.org", "active": False})
        assert (changed.json()["email"], changed.json()["active"]) == ("ada@example.org", False)
        taken = client.request("PATCH", f"{USERS}/{ada['id']}", json={"email": "grace@example.org"})
        assert (taken.status_code, taken.json()["code"]) == (409, "constraint-violated")
        page = client.request("GET", USERS, params={"page": 1, "size": 1, "sort": "-name"}).json()
        assert (page["items"][0]["name"], page["total"]) == ("Grace", 2)
        assert client.request("DELETE", f"{USERS}/{ada['id']}").status_code == 204


def test_the_diabetes_service_stays_short() -> None:
    assert len(Path(diabetes.__file__).read_text().splitlines()) <= 40


@pytest.mark.parametrize("alpha", [0.1, 10.0])
def test_the_diabetes_service_trains_and_predicts(folder: Path, alpha: float) -> None:
    rows = [[float(age), float(age % 7), 2.0 * age] for age in range(30)]
    with Client(app=diabetes.app, headers={"Prefer": "wait=60"}) as client:
        config = client.configs.create("ridge", {"alpha": alpha})
        training = {"config_id": config.id, "data": {"columns": ["age", "bmi", "target"], "data": rows}}
        model = _sent(client, "/api/v1/ml/$train", training)
        future = {"columns": ["age", "bmi"], "data": [row[:2] for row in rows[:3]]}
        prediction = _sent(client, "/api/v1/ml/$predict", {"artifact_id": model["id"], "future": future})
    assert prediction["parent_id"] == model["id"]
    assert prediction["data"]["content"]["columns"] == ["age", "bmi", "sample_0"]


def _sent(client: Client, path: str, body: dict[str, object]) -> dict[str, object]:
    response: httpx.Response = client.request("POST", path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer

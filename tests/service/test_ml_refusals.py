"""What cannot work is refused before it is accepted: with a reason, and without a job."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chapkit.artifact.model_codec import MODEL_MEDIA_TYPE
from chapkit.core.ids import ULID
from tests.service.ml_calls import FUTURE, POLYGONS, TRAINING, MLCalls, service
from tests.serving import serving

pytestmark = pytest.mark.anyio

LIMITS: dict[str, Any] = {"min_prediction_periods": 2, "max_prediction_periods": 6, "required_covariates": ["rainfall"]}


@pytest.fixture(scope="module")
async def calls() -> AsyncIterator[MLCalls]:
    async with serving(service(**LIMITS)) as client:
        yield MLCalls(client)


async def refused(calls: MLCalls, path: str, body: Any, **headers: str) -> dict[str, Any]:
    """Return the problem, once it is sure that no job was left behind."""
    before = len(await calls.jobs())
    answer = await calls.post(path, body, **headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(await calls.jobs()) == before
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    return problem


async def test_a_training_needs_a_configuration_that_exists(calls: MLCalls) -> None:
    problem = await refused(calls, "$train", {"config_id": ULID(), "data": TRAINING})
    assert (problem["status"], problem["code"], problem["field"]) == (404, "config-unknown", "config_id")


async def test_a_prediction_needs_a_model_that_exists_and_is_told_the_newest(calls: MLCalls) -> None:
    config = await calls.config()
    models = [await calls.trained(config) for _ in range(4)]
    for name in ("artifact_id", "model_artifact_id", "training_artifact_id"):
        problem = await refused(calls, "$predict", {name: ULID(), "future": FUTURE})
        assert (problem["status"], problem["code"]) == (404, "model-unknown")
        assert problem["newest_models"] == models[:0:-1]


async def test_a_prediction_is_not_made_with_something_else_than_a_model(calls: MLCalls) -> None:
    model = await calls.trained()
    prediction = await calls.predicted(model)
    problem = await refused(calls, "$predict", {"artifact_id": prediction["id"], "future": FUTURE})
    assert (problem["status"], problem["code"]) == (422, "artifact-not-a-model")
    assert problem["newest_models"][0] == model


FORGED = {
    "type": "ml_training_workspace",
    # A pickle that calls a program.
    "content": "gASVKgAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjA9lY2hvIHB3bmVklIWUUpQu",
}


async def test_a_forged_model_is_no_model(calls: MLCalls) -> None:
    data = {**FORGED, "metadata": {"config_id": await calls.config()}}
    answer = await calls.client.post("/api/v1/artifacts", json={"data": data})
    assert answer.status_code == 201, answer.text
    problem = await refused(calls, "$predict", {"artifact_id": answer.json()["id"], "future": FUTURE})
    assert (problem["status"], problem["code"]) == (422, "artifact-not-a-model")


async def test_a_model_is_not_forged_over_a_real_one(calls: MLCalls) -> None:
    model = await calls.trained()
    path = f"/api/v1/artifacts/{model}"
    data = {**FORGED, "metadata": {"config_id": await calls.config()}, "content_type": MODEL_MEDIA_TYPE}
    for answer in (
        await calls.client.post("/api/v1/artifacts", json={"data": data}),
        await calls.client.put(path, json={"data": data}),
        await calls.client.patch(path, json={"data": data}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "media-type-reserved")
    await calls.predicted(model)
    assert (await calls.client.put(path, json={"data": {**data, "content_type": None}})).status_code == 200
    problem = await refused(calls, "$predict", {"artifact_id": model, "future": FUTURE})
    assert problem["code"] == "artifact-not-a-model"


@pytest.mark.parametrize("config_id", ["nonsense", 5, None, ["a"]])
async def test_a_model_whose_configuration_was_overwritten_is_no_model(calls: MLCalls, config_id: Any) -> None:
    model = await calls.trained()
    artifact = await calls.artifact(model)
    metadata = {**artifact["data"]["metadata"], "config_id": config_id}
    answer = await calls.client.patch(f"/api/v1/artifacts/{model}", json={"data": {"metadata": metadata}})
    assert answer.status_code == 200, answer.text
    problem = await refused(calls, "$predict", {"artifact_id": model, "future": FUTURE})
    assert (problem["status"], problem["code"]) == (422, "artifact-not-a-model")


async def test_a_service_without_models_names_none() -> None:
    async with serving(service()) as client:
        problem = await refused(MLCalls(client), "$predict", {"artifact_id": ULID(), "future": FUTURE})
        assert (problem["code"], problem["newest_models"]) == ("model-unknown", [])


async def test_a_model_whose_training_failed_is_no_model() -> None:
    def fail(config: Any, data: Any) -> None:
        raise ValueError("no")

    async with serving(service(fail)) as client:
        calls = MLCalls(client)
        job = await calls.finished(await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING}))
        problem = await refused(calls, "$predict", {"artifact_id": job["artifact_id"], "future": FUTURE})
        assert (problem["status"], problem["code"], problem["field"]) == (422, "training-failed", "artifact_id")


def frame(columns: list[str], *rows: list[Any]) -> dict[str, Any]:
    return {"columns": columns, "data": list(rows)}


BAD_FRAMES = [
    (frame(["rainfall", "location"], [1.0, "a"], [1.0]), "frame-rows-unequal", {"row": 1, "expected": 2, "found": 1}),
    (frame(["rainfall", "rainfall"], [1.0, 2.0]), "frame-columns-duplicate", {}),
    (
        frame(["rain_fall"], [1.0]),
        "frame-columns-missing",
        {"field": ["rainfall"], "did_you_mean": {"rainfall": "rain_fall"}},
    ),
    (frame(["rainfall"]), "frame-empty", {}),
    (frame([]), "frame-empty", {}),
]


@pytest.mark.parametrize(("bad", "code", "members"), BAD_FRAMES)
async def test_a_malformed_frame_is_refused_by_name(
    calls: MLCalls, bad: dict[str, Any], code: str, members: dict[str, Any]
) -> None:
    config = await calls.config()
    model = await calls.trained(config)
    for path, name, body in (
        ("$train", "data", {"config_id": config, "data": bad}),
        ("$predict", "future", {"artifact_id": model, "future": bad, "historic": TRAINING}),
    ):
        problem = await refused(calls, path, body)
        assert (problem["status"], problem["code"], problem["frame"]) == (422, code, name)
        assert members.items() <= problem.items()


async def test_a_malformed_history_is_refused(calls: MLCalls) -> None:
    historic = frame(["rainfall"], [1.0, 2.0])
    problem = await refused(
        calls, "$predict", {"artifact_id": await calls.trained(), "future": FUTURE, "historic": historic}
    )
    assert (problem["status"], problem["code"], problem["frame"]) == (422, "frame-rows-unequal", "historic")


async def test_a_horizon_out_of_bounds_is_refused(calls: MLCalls) -> None:
    config = await calls.config()
    model = await calls.trained(config)
    for spelling in ("prediction_periods", "prediction_length"):
        for periods in (1, 7):
            body = {"artifact_id": model, "future": FUTURE, "run_info": {spelling: periods}}
            problem = await refused(calls, "$predict", body)
            assert (problem["status"], problem["code"]) == (422, "prediction-periods-out-of-bounds")
            assert (problem["expected"], problem["found"]) == ([2, 6], periods)
    # Older clients send this with every training.
    await calls.trained(config, run_info={"prediction_length": 1})


async def test_polygons_are_demanded_where_a_model_needs_them() -> None:
    async with serving(service(requires_geo=True)) as client:
        calls = MLCalls(client)
        config = await calls.config()
        problem = await refused(calls, "$train", {"config_id": config, "data": TRAINING})
        assert (problem["status"], problem["code"], problem["field"]) == (422, "geo-missing", "geo")
        model = await calls.trained(config, geo=POLYGONS)
        problem = await refused(calls, "$predict", {"artifact_id": model, "future": FUTURE, "geo": None})
        assert problem["code"] == "geo-missing"
        await calls.predicted(model, geo=POLYGONS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"data": {"columns": [], "data": []}}',
        b'{"config_id": "nonsense", "data": {"columns": ["a"], "data": [[1]]}}',
        b'{"config_id": "CONFIG", "data": [[1]]}',
        b'{"config_id": "CONFIG", "data": {"columns": ["a"], "data": [1]}}',
        b'{"config_id": "CONFIG", "data": {"columns": ["a"], "data": [[NaN]]}}',
        b'{"config_id": "CONFIG", "data": {"columns": ["a"], "data": [["\\ud800"]]}}',
        b'{"config_id": "CONFIG", "data": {"columns": ["a"], "data": [["\xff"]]}}',
        b'{"config_id": "CONFIG", "data": {"columns": ["a"], "data": [[1]]}, "geo": {"type": "x"}}',
        b'{"config_id": "CONFIG", "data": {"columns": ["a"], "data": [[1]]}, "run_info": 3}',
    ],
)
async def test_what_is_no_training_at_all_is_refused(calls: MLCalls, body: bytes) -> None:
    body = body.replace(b"CONFIG", (await calls.config()).encode())
    assert (await refused(calls, "$train", body))["status"] in {400, 422}


async def test_odd_but_legal_text_passes_through(calls: MLCalls) -> None:
    odd = frame(["rainfall", "location"], [1e300, "a\u0000b"], [-0.0, "\U0001f600"], [12345678901234567890, ""])
    artifact = await calls.predicted(await calls.trained(), future=odd)
    rows = artifact["data"]["content"]["data"]
    assert [row[1] for row in rows] == ["a\u0000b", "\U0001f600", ""]


async def test_a_prediction_that_failed_is_no_model_and_no_training_either() -> None:
    def refuse(config: Any, model: Any, historic: Any, future: Any) -> None:
        raise ValueError("not today")

    async with serving(service(predict=refuse)) as client:
        calls = MLCalls(client)
        model = await calls.trained()
        failed = await calls.finished(await calls.post("$predict", {"artifact_id": model, "future": FUTURE}))
        answer = await calls.post("$predict", {"artifact_id": failed["artifact_id"], "future": FUTURE})
        assert (answer.status_code, answer.json()["code"]) == (422, "artifact-not-a-model"), answer.text
        assert answer.json()["newest_models"] == [model]


@pytest.mark.parametrize("depth", range(190, 202))
async def test_what_is_accepted_can_be_read_however_deeply_it_is_nested(calls: MLCalls, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    body = f'{{"config_id": "{await calls.config()}", "data": {{"columns": ["rainfall"], "data": [[{nested}]]}}}}'
    answer = await calls.post("$train", body.encode())
    if answer.status_code == 422:
        assert answer.json()["code"] == "json-invalid"
    else:
        assert (await calls.finished(answer))["status"] == "completed"

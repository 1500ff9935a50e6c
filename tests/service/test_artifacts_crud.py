import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from chapkit.artifact.schemas import ArtifactOut, MLPredictionArtifactData, validate_artifact_data
from chapkit.core.ids import ULID
from tests.service.artifacts_service import ARTIFACTS, ArtifactsService, artifacts_service

pytestmark = pytest.mark.anyio
LARGE = ["a line of some length"] * 10_000
MODEL_TYPE = "application/vnd.chapkit.model+pickle"


@pytest.fixture
async def service(database_url: str, tmp_path: Path) -> AsyncIterator[ArtifactsService]:
    async with artifacts_service(database_url, tmp_path / "data") as running:
        yield running


@pytest.mark.parametrize(
    "data",
    [None, True, 0, 1.5, "", "Tromsø 🎉", [], {}, {"a": {"b": [None]}}, LARGE],
    ids=["null", "true", "zero", "float", "empty", "unicode", "list", "object", "nested", "large"],
)
async def test_any_json_is_an_artifact(service: ArtifactsService, data: Any) -> None:
    created = await service.post(data)
    assert list(created) == ["id", "created_at", "updated_at", "tags", "data", "parent_id", "level"]
    assert list(created["data"]) == ["type", "metadata", "content", "content_type", "content_size"]
    assert created["data"]["type"] == "generic"
    assert created["data"]["content"] == data
    assert created["data"]["content_type"] == "application/json"
    answer = await service.client.get(f"{ARTIFACTS}/{created['id']}")
    assert answer.json() == created
    assert await service.content(created["id"]) == data


async def test_creating_tells_where_the_artifact_is(service: ArtifactsService) -> None:
    answer = await service.client.post(ARTIFACTS, json={"data": 1, "tags": ["a"]})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"http://service{ARTIFACTS}/{answer.json()['id']}"
    assert answer.headers["etag"] == (await service.client.get(answer.headers["location"])).headers["etag"]


async def test_the_typed_shape_is_taken_apart(service: ArtifactsService) -> None:
    created = await service.post({"type": "report", "metadata": {"n": 1}, "content": [1], "content_size": 99})
    assert created["data"] == {
        "type": "report",
        "metadata": {"n": 1},
        "content": [1],
        "content_type": "application/json",
        "content_size": 3,
    }


async def test_what_was_read_can_be_written_back(service: ArtifactsService) -> None:
    frame = {"columns": ["location", "sample_0"], "data": [["Oslo", 1.5]]}
    data = {"type": "ml_prediction", "content": frame, "content_type": "application/vnd.chapkit.dataframe+json"}
    created = await service.post(data)
    answer = await service.client.put(f"{ARTIFACTS}/{created['id']}", json={"data": created["data"]})
    assert answer.status_code == 200
    assert answer.json()["data"] == created["data"]


async def test_a_prediction_reads_as_its_clients_expect(service: ArtifactsService) -> None:
    metadata = {
        "status": "success",
        "config_id": str(ULID()),
        "started_at": "2026-01-01T00:00:00+00:00",
        "completed_at": "2026-01-01T00:00:01+00:00",
        "duration_seconds": 1.0,
        "exit_code": None,
        "stdout": None,
        "stderr": None,
    }
    frame = pd.DataFrame({"time_period": ["2026-01"], "location": ["Tromsø"], "sample_0": [1.5]})
    id = await service.store(frame, type="ml_prediction", metadata=metadata)
    artifact = ArtifactOut.model_validate((await service.client.get(f"{ARTIFACTS}/{id}")).json())
    data = validate_artifact_data(artifact.data.model_dump())
    assert isinstance(data, MLPredictionArtifactData)
    assert data.content["columns"] == ["time_period", "location", "sample_0"]
    assert data.content["data"] == [["2026-01", "Tromsø", 1.5]]
    assert data.content_type == "application/vnd.chapkit.dataframe+json"


async def test_bytes_and_models_are_described(service: ArtifactsService) -> None:
    for value, kind in ((b"", "bytes"), (b"\x00\xff", "bytes"), ({1, 2}, "set")):
        id = await service.store(value)
        answer = await service.client.get(f"{ARTIFACTS}/{id}")
        content = answer.json()["data"]["content"]
        assert content["_type"] == kind
        assert {"_module", "_repr", "_serialization_error", "size", "sha256"} <= set(content)


async def test_the_list_leaves_contents_out(service: ArtifactsService) -> None:
    ids = [(await service.post(LARGE))["id"], await service.store({1, 2})]
    listed = (await service.client.get(ARTIFACTS)).json()
    assert [item["id"] for item in listed] == ids
    assert all("content" not in item["data"] for item in listed)
    page = (await service.client.get(f"{ARTIFACTS}?page=1&size=1")).json()
    assert page["total"] == 2
    assert "content" not in page["items"][0]["data"]
    assert len((await service.client.get(f"{ARTIFACTS}?limit=1")).json()) == 1


async def test_the_list_needs_no_content_at_all(service: ArtifactsService) -> None:
    await service.post(LARGE)
    [file] = service.blob_files()
    file.unlink()
    assert (await service.client.get(ARTIFACTS)).status_code == 200


@pytest.mark.parametrize(
    "condition",
    ["type:eq:report", "data.type:eq:report", "parent_id:null:false", "level:gt:0", "metadata.config_id:eq:C1"],
)
async def test_the_list_is_filtered(service: ArtifactsService, condition: str) -> None:
    root = await service.post({"type": "model", "metadata": {"config_id": "C0"}, "content": 1})
    child = await service.post({"type": "report", "metadata": {"config_id": "C1"}, "content": 1}, root["id"])
    answer = await service.client.get(ARTIFACTS, params={"filter": condition})
    assert [item["id"] for item in answer.json()] == [child["id"]]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_number_that_is_not_finite_is_refused(service: ArtifactsService, number: str) -> None:
    body = f'{{"data": {{"rows": [{{"value": {number}}}]}}}}'
    answer = await service.client.post(ARTIFACTS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "number-not-finite"
    assert answer.json()["field"] == "content.rows.0.value"


async def test_half_a_character_is_refused(service: ArtifactsService) -> None:
    headers = {"content-type": "application/json"}
    answer = await service.client.post(ARTIFACTS, content=rb'{"data": "\ud800"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "content-not-json")


async def test_a_posted_model_is_refused(service: ArtifactsService) -> None:
    data = {"type": "ml_training", "content": "cos\nsystem\n(S'false'\ntR.", "content_type": MODEL_TYPE}
    answer = await service.client.post(ARTIFACTS, json={"data": data})
    assert (answer.status_code, answer.json()["code"]) == (422, "media-type-reserved")


async def test_a_content_that_json_cannot_carry_is_refused(service: ArtifactsService) -> None:
    data = {"type": "image", "content": {"_type": "bytes"}, "content_type": "image/png"}
    answer = await service.client.post(ARTIFACTS, json={"data": data})
    assert (answer.status_code, answer.json()["code"]) == (422, "media-type-mismatch")


async def test_data_must_be_sent(service: ArtifactsService) -> None:
    assert (await service.client.post(ARTIFACTS, json={})).status_code == 422


async def test_an_id_that_is_taken_is_refused(service: ArtifactsService) -> None:
    created = await service.post(1)
    answer = await service.client.post(ARTIFACTS, json={"id": created["id"], "data": 2})
    assert (answer.status_code, answer.json()["code"]) == (409, "id-exists")


async def test_a_replacement_writes_what_was_set(service: ArtifactsService) -> None:
    root = await service.post(0)
    child = await service.post(1, root["id"])
    path = f"{ARTIFACTS}/{child['id']}"
    kept = (await service.client.put(path, json={"data": LARGE})).json()
    assert (kept["parent_id"], kept["level"], kept["data"]["content"]) == (root["id"], 1, LARGE)
    freed = (await service.client.put(path, json={"data": None, "parent_id": None})).json()
    assert (freed["parent_id"], freed["level"], freed["data"]["content"]) == (None, 0, None)
    assert (await service.client.put(path, json={"tags": []})).status_code == 422
    assert (await service.client.put(f"{ARTIFACTS}/{ULID()}", json={"data": 1})).status_code == 404


async def test_a_change_is_made_only_on_the_state_that_was_seen(service: ArtifactsService) -> None:
    created = await service.post(1)
    path = f"{ARTIFACTS}/{created['id']}"
    etag = (await service.client.get(path)).headers["etag"]
    assert (await service.client.get(path, headers={"if-none-match": etag})).status_code == 304
    assert (await service.client.put(path, json={"data": 2}, headers={"if-match": etag})).status_code == 200
    late = await service.client.put(path, json={"data": 3}, headers={"if-match": etag})
    assert (late.status_code, late.json()["code"]) == (412, "etag-mismatch")


async def test_a_patch_changes_the_metadata_of_a_model(service: ArtifactsService) -> None:
    id = await service.store({1, 2}, type="m", metadata={"a": 1})
    answer = await service.client.patch(f"{ARTIFACTS}/{id}", json={"data": {"metadata": {"b": 2}}, "tags": ["x"]})
    assert answer.status_code == 200
    assert answer.json()["data"]["metadata"] == {"a": 1, "b": 2}
    assert answer.json()["tags"] == ["x"]
    assert await service.content(id) == {1, 2}


async def test_a_patch_without_data_is_refused_where_it_removes_them(service: ArtifactsService) -> None:
    created = await service.post(1)
    answer = await service.client.patch(f"{ARTIFACTS}/{created['id']}", json={"data": None})
    assert answer.status_code == 422


async def test_many_are_created_and_deleted_at_once(service: ArtifactsService) -> None:
    answer = await service.client.post(f"{ARTIFACTS}/$bulk", json=[{"data": n} for n in range(3)])
    assert answer.status_code == 201
    ids = [item["id"] for item in answer.json()["items"]]
    assert [await service.content(id) for id in ids] == [0, 1, 2]
    gone = await service.client.delete(f"{ARTIFACTS}/$bulk", params={"id": ids})
    assert gone.json()["succeeded"] == 3
    refused = await service.client.post(f"{ARTIFACTS}/$bulk", json=[{"data": 1}, {"data": 2, "parent_id": str(ULID())}])
    assert refused.status_code == 422
    assert (await service.client.get(f"{ARTIFACTS}/$stats")).json() == {"total": 0}


async def test_a_corrupt_file_is_detected(service: ArtifactsService) -> None:
    created = await service.post(LARGE)
    [file] = service.blob_files()
    file.write_bytes(file.read_bytes().replace(b"line", b"LINE"))
    answer = await service.client.get(f"{ARTIFACTS}/{created['id']}")
    assert (answer.status_code, answer.json()["code"]) == (500, "content-corrupt")
    file.unlink()
    answer = await service.client.get(f"{ARTIFACTS}/{created['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "content-missing")


async def test_the_schema_and_the_document_describe_artifacts(service: ArtifactsService) -> None:
    schema = (await service.client.get(f"{ARTIFACTS}/$schema")).json()
    assert list(schema["properties"]) == ["id", "created_at", "updated_at", "tags", "data", "parent_id", "level"]
    document = (await service.client.get("/openapi.json")).json()
    body = document["paths"][ARTIFACTS]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert json.dumps(body) == '{"$ref": "#/components/schemas/ArtifactIn"}'
    assert f"{ARTIFACTS}/{{entity_id}}/$download" in document["paths"]

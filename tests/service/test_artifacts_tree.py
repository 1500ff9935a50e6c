from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chapkit.core.ids import ULID
from tests.service.artifacts_service import ARTIFACTS, ArtifactsService, artifacts_service

pytestmark = pytest.mark.anyio
LARGE = ["a line of some length"] * 10_000


@pytest.fixture
async def service(database_url: str, tmp_path: Path) -> AsyncIterator[ArtifactsService]:
    async with artifacts_service(database_url, tmp_path / "data") as running:
        yield running


async def chain(service: ArtifactsService, length: int) -> list[str]:
    ids: list[str] = []
    for number in range(length):
        ids.append((await service.post(number, ids[-1] if ids else None))["id"])
    return ids


async def test_a_tree_is_nested_and_leaves_contents_out(service: ArtifactsService) -> None:
    root, child, leaf = await chain(service, 3)
    sibling = (await service.post(LARGE, root))["id"]
    service.blob_files()[0].unlink()
    answer = await service.client.get(f"{ARTIFACTS}/{root}/$tree")
    assert answer.status_code == 200
    tree = answer.json()
    assert list(tree)[-4:] == ["level_label", "hierarchy", "children", "config"]
    assert (tree["hierarchy"], tree["level_label"], tree["config"]) == ("ml", "model", None)
    assert "content" not in tree["data"]
    assert [item["id"] for item in tree["children"]] == [child, sibling]
    assert [item["id"] for item in tree["children"][0]["children"]] == [leaf]
    assert tree["children"][0]["children"][0]["children"] == []
    assert tree["children"][0]["children"][0]["level_label"] == "level_2"
    again = await service.client.get(f"{ARTIFACTS}/{root}/$tree", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_a_tree_begins_where_it_is_asked_for(service: ArtifactsService) -> None:
    _, child, leaf = await chain(service, 3)
    tree = (await service.client.get(f"{ARTIFACTS}/{child}/$tree")).json()
    assert (tree["id"], tree["children"][0]["id"]) == (child, leaf)


async def test_an_expanded_artifact_has_labels_and_no_children(service: ArtifactsService) -> None:
    _, child = await chain(service, 2)
    node = (await service.client.get(f"{ARTIFACTS}/{child}/$expand")).json()
    assert (node["level_label"], node["children"], node["config"]) == ("prediction", None, None)
    assert "content" not in node["data"]


async def test_metadata_stand_alone(service: ArtifactsService) -> None:
    id = await service.store(b"bytes", metadata={"status": "success", "stdout": "æ"})
    answer = await service.client.get(f"{ARTIFACTS}/{id}/$metadata")
    assert answer.json() == {"status": "success", "stdout": "æ"}


@pytest.mark.parametrize("operation", ["$tree", "$expand", "$metadata", "$download"])
async def test_an_unknown_artifact_and_a_wrong_id_are_told_apart(service: ArtifactsService, operation: str) -> None:
    unknown = await service.client.get(f"{ARTIFACTS}/{ULID()}/{operation}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")
    wrong = await service.client.get(f"{ARTIFACTS}/abc/{operation}")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid-ulid")


async def test_an_unknown_parent_is_refused(service: ArtifactsService) -> None:
    answer = await service.client.post(ARTIFACTS, json={"data": 1, "parent_id": str(ULID())})
    assert (answer.status_code, answer.json()["code"]) == (422, "parent-unknown")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_circle_is_refused(service: ArtifactsService, method: str) -> None:
    root, _, leaf = await chain(service, 3)
    for parent in (root, leaf):
        answer = await service.client.request(method, f"{ARTIFACTS}/{root}", json={"data": 1, "parent_id": parent})
        assert (answer.status_code, answer.json()["code"]) == (409, "artifact-cycle")
    assert (await service.client.get(f"{ARTIFACTS}/{root}")).json()["parent_id"] is None


async def test_a_tree_has_a_greatest_depth(service: ArtifactsService) -> None:
    ids = await chain(service, 64)
    answer = await service.client.post(ARTIFACTS, json={"data": 1, "parent_id": ids[-1]})
    assert (answer.status_code, answer.json()["code"]) == (422, "artifact-too-deep")


async def test_an_artifact_with_children_goes_only_with_them(service: ArtifactsService) -> None:
    root, child = await chain(service, 2)
    for query in ("", "?cascade=false"):
        refused = await service.client.delete(f"{ARTIFACTS}/{root}{query}")
        assert (refused.status_code, refused.json()["code"]) == (409, "artifact-has-children")
        assert refused.json()["children"] == 1
    assert (await service.client.delete(f"{ARTIFACTS}/{root}?cascade=true")).status_code == 204
    for id in (root, child):
        assert (await service.client.get(f"{ARTIFACTS}/{id}")).status_code == 404

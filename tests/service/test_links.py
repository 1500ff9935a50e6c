"""Artifact trees that belong to configurations, over HTTP and on both databases."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.artifact import ArtifactHierarchy
from chapkit.config.schemas import BaseConfig
from chapkit.core.events import EntityDeleted, Event
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from tests.serving import serving

pytestmark = pytest.mark.anyio


class Options(BaseConfig):
    alpha: float = 0.5


class Links:
    """Talks to a service whose artifacts can belong to configurations."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        self.app = app
        self.client = client

    async def config(self, name: str = "a") -> str:
        answer = await self.client.post("/api/v1/configs", json={"name": name, "data": {}})
        return str(answer.json()["id"])

    async def artifact(self, parent_id: str | None = None) -> str:
        answer = await self.client.post("/api/v1/artifacts", json={"data": {"a": 1}, "parent_id": parent_id})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def link(self, config: str, artifact: Any) -> httpx.Response:
        return await self.client.post(f"/api/v1/configs/{config}/$link-artifact", json={"artifact_id": artifact})

    async def unlink(self, config: str, artifact: Any) -> httpx.Response:
        return await self.client.post(f"/api/v1/configs/{config}/$unlink-artifact", json={"artifact_id": artifact})

    async def linked(self, config: str) -> str:
        """Return a new artifact that belongs to the configuration."""
        artifact = await self.artifact()
        assert (await self.link(config, artifact)).status_code == 204
        return artifact

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(f"/api/v1/{path}")

    async def ids(self, path: str) -> list[str]:
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()]


def make_app(url: str) -> FastAPI:
    made = ServiceBuilder(info=ServiceInfo(display_name="Links"), database_url=url).with_config(Options)
    return made.with_artifacts(hierarchy=ArtifactHierarchy(name="tree"), enable_config_linking=True).build()


@pytest.fixture
async def links(table_url: str) -> AsyncIterator[Links]:
    app = make_app(table_url)
    async with serving(app) as client:
        yield Links(app, client)
        for config in (await client.get("/api/v1/configs")).json():
            await client.delete(f"/api/v1/configs/{config['id']}")
        for artifact in (await client.get("/api/v1/artifacts")).json():
            await client.delete(f"/api/v1/artifacts/{artifact['id']}", params={"cascade": True})


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


async def test_an_artifact_is_linked_once_and_again(links: Links) -> None:
    config, artifact = await links.config(), await links.artifact()
    for _ in range(2):
        answer = await links.link(config, artifact)
        assert (answer.status_code, answer.content) == (204, b"")
    assert await links.ids(f"configs/{config}/$artifacts") == [artifact]


async def test_an_artifact_belongs_to_one_configuration(links: Links) -> None:
    config, other = await links.config(), await links.config()
    artifact = await links.linked(config)
    answer = await links.link(other, artifact)
    assert problem(answer) == (409, "artifact-linked-elsewhere")
    assert answer.json()["found"] == config
    assert await links.ids(f"configs/{other}/$artifacts") == []


async def test_only_roots_are_linked(links: Links) -> None:
    config, root = await links.config(), await links.artifact()
    child = await links.artifact(root)
    assert problem(await links.link(config, child)) == (400, "artifact-not-root")
    assert await links.ids(f"configs/{config}/$artifacts") == []


async def test_what_does_not_exist_is_not_linked(links: Links) -> None:
    config, artifact = await links.config(), await links.artifact()
    assert problem(await links.link(ULID(), artifact)) == (404, "config-unknown")
    assert problem(await links.link(config, ULID())) == (404, "artifact-unknown")
    assert problem(await links.link("nonsense", artifact)) == (400, "invalid-ulid")
    for wrong in ("nonsense", 3, None):
        assert (await links.link(config, wrong)).status_code == 422
    assert (await links.get(f"configs/{ULID()}/$artifacts")).status_code == 404
    assert (await links.get(f"artifacts/{ULID()}/$config")).status_code == 404


async def test_an_artifact_is_unlinked_from_its_own_configuration_only(links: Links) -> None:
    config, other = await links.config(), await links.config()
    artifact = await links.linked(config)
    assert problem(await links.unlink(other, artifact)) == (404, "link-unknown")
    assert problem(await links.unlink(config, ULID())) == (404, "link-unknown")
    assert await links.ids(f"configs/{config}/$artifacts") == [artifact]
    assert (await links.unlink(config, artifact)).status_code == 204
    assert problem(await links.unlink(config, artifact)) == (404, "link-unknown")
    assert await links.ids(f"configs/{config}/$artifacts") == []
    assert (await links.link(other, artifact)).status_code == 204


async def test_linked_artifacts_are_listed_without_contents_and_without_children(links: Links) -> None:
    config = await links.config()
    artifacts = [await links.linked(config) for _ in range(3)]
    await links.artifact(artifacts[0])
    items = (await links.get(f"configs/{config}/$artifacts")).json()
    assert [item["id"] for item in items] == artifacts
    assert all("content" not in item["data"] and item["level"] == 0 for item in items)
    assert list(items[0]) == ["id", "created_at", "updated_at", "tags", "data", "parent_id", "level"]


async def test_the_configuration_of_a_tree_is_found_from_each_of_its_artifacts(links: Links) -> None:
    config = await links.config("mine")
    root = await links.linked(config)
    child = await links.artifact(root)
    grandchild = await links.artifact(child)
    expected = (await links.get(f"configs/{config}")).json()
    for artifact in (root, child, grandchild):
        answer = await links.get(f"artifacts/{artifact}/$config")
        assert (answer.status_code, answer.json()) == (200, expected)


async def test_an_artifact_of_no_configuration_says_so(links: Links) -> None:
    child = await links.artifact(await links.artifact())
    assert problem(await links.get(f"artifacts/{child}/$config")) == (404, "artifact-not-linked")


async def test_trees_show_the_configuration_at_the_artifact_that_is_linked(links: Links) -> None:
    config = await links.config()
    root = await links.linked(config)
    child = await links.artifact(root)
    expected = (await links.get(f"configs/{config}")).json()
    tree = (await links.get(f"artifacts/{root}/$tree")).json()
    assert (tree["config"], tree["children"][0]["config"]) == (expected, None)
    assert (await links.get(f"artifacts/{root}/$expand")).json()["config"] == expected
    for part in ("$tree", "$expand"):
        assert (await links.get(f"artifacts/{child}/{part}")).json()["config"] is None
    await links.unlink(config, root)
    assert (await links.get(f"artifacts/{root}/$tree")).json()["config"] is None


async def test_a_configuration_takes_its_trees_along(links: Links) -> None:
    config, other = await links.config(), await links.config()
    roots = [await links.linked(config) for _ in range(2)]
    child = await links.artifact(roots[0])
    await links.artifact(child)
    free, kept = await links.artifact(), await links.linked(other)
    assert (await links.client.delete(f"/api/v1/configs/{config}")).status_code == 204
    assert await links.ids("configs") == [other]
    assert await links.ids("artifacts") == [free, kept]
    assert await links.ids(f"configs/{other}/$artifacts") == [kept]


async def test_a_configuration_with_artifacts_stays_if_they_are_to_stay(links: Links) -> None:
    config = await links.config()
    roots = [await links.linked(config) for _ in range(2)]
    answer = await links.client.delete(f"/api/v1/configs/{config}", params={"cascade": "false"})
    assert problem(answer) == (409, "config-has-artifacts")
    assert answer.json()["artifact_ids"] == roots
    assert await links.ids("artifacts") == roots
    for root in roots:
        await links.unlink(config, root)
    answer = await links.client.delete(f"/api/v1/configs/{config}", params={"cascade": "false"})
    assert answer.status_code == 204
    assert await links.ids("artifacts") == roots


async def test_a_deletion_that_fails_at_the_end_takes_nothing_along(links: Links) -> None:
    config = await links.config()
    root = await links.linked(config)
    child = await links.artifact(root)

    precious = {config}

    async def object_to(event: Event, scope: Scope) -> None:
        if isinstance(event, EntityDeleted) and event.entity.id in precious:
            raise RuntimeError("not this one")

    services: Services = links.app.state.services
    services.on_event(object_to)
    assert (await links.client.delete(f"/api/v1/configs/{config}")).status_code == 500
    precious.clear()
    assert await links.ids("artifacts") == [root, child]
    assert await links.ids(f"configs/{config}/$artifacts") == [root]
    assert (await links.get(f"artifacts/{child}/$config")).json()["id"] == config


async def test_a_linked_root_stays_a_root(links: Links) -> None:
    config, parent = await links.config(), await links.artifact()
    root = await links.linked(config)
    path = f"/api/v1/artifacts/{root}"
    for answer in (
        await links.client.patch(path, json={"parent_id": parent}),
        await links.client.put(path, json={"data": {"a": 2}, "parent_id": parent}),
    ):
        assert problem(answer) == (409, "artifact-linked")
        assert answer.json()["field"] == "parent_id"
    stored = (await links.get(f"artifacts/{root}")).json()
    assert (stored["parent_id"], stored["level"], stored["data"]["content"]) == (None, 0, {"a": 1})
    assert (await links.client.patch(path, json={"tags": ["a"]})).status_code == 200
    await links.unlink(config, root)
    assert (await links.client.patch(path, json={"parent_id": parent})).status_code == 200


async def test_an_artifact_that_is_deleted_is_no_longer_linked(links: Links) -> None:
    config = await links.config()
    root = await links.linked(config)
    assert (await links.client.delete(f"/api/v1/artifacts/{root}")).status_code == 204
    assert await links.ids(f"configs/{config}/$artifacts") == []
    assert await links.ids("configs") == [config]


async def test_of_two_configurations_that_want_an_artifact_at_once_one_gets_it(links: Links) -> None:
    configs = [await links.config() for _ in range(4)]
    artifact = await links.artifact()
    answers = await asyncio.gather(*(links.link(config, artifact) for config in configs))
    assert sorted(answer.status_code for answer in answers) == [204, 409, 409, 409]
    owner = (await links.get(f"artifacts/{artifact}/$config")).json()["id"]
    assert owner == configs[[answer.status_code for answer in answers].index(204)]


async def test_a_root_that_is_moved_and_linked_at_once_is_one_or_the_other(links: Links) -> None:
    for _ in range(5):
        config, parent, artifact = await links.config(), await links.artifact(), await links.artifact()
        moved, linked = await asyncio.gather(
            links.client.patch(f"/api/v1/artifacts/{artifact}", json={"parent_id": parent}),
            links.link(config, artifact),
        )
        assert sorted((moved.status_code, linked.status_code)) in ([200, 400], [204, 409])


async def test_operations_are_there_only_with_linking(table_url: str) -> None:
    made = ServiceBuilder(info=ServiceInfo(display_name="No links"), database_url=table_url).with_config(Options)
    async with serving(made.with_artifacts(hierarchy=ArtifactHierarchy(name="tree")).build()) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert not [path for path in paths if path.endswith(("$link-artifact", "$artifacts", "$config"))]

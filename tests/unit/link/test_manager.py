from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.repository import ArtifactRepository
from chapkit.artifact.schemas import ArtifactIn
from chapkit.config.manager import ConfigManager
from chapkit.config.repository import ConfigRepository
from chapkit.config.schemas import BaseConfig, ConfigIn
from chapkit.core.database import Database
from chapkit.core.errors import ConflictError, NotFoundError, ValidationError
from chapkit.core.ids import ULID
from chapkit.link.manager import LinkManager
from chapkit.link.repository import LinkRepository

pytestmark = pytest.mark.anyio


@dataclass
class Linked:
    """The three managers over one session."""

    links: LinkManager
    configs: ConfigManager[BaseConfig]
    artifacts: ArtifactManager

    async def config(self) -> ULID:
        return (await self.configs.create(ConfigIn(name="a", data=BaseConfig()))).id

    async def artifact(self, parent_id: ULID | None = None) -> ULID:
        return (await self.artifacts.create(ArtifactIn(data={"a": 1}, parent_id=parent_id))).id


@pytest.fixture
async def linked(database: Database) -> AsyncGenerator[Linked]:
    async with database.session() as session:
        configs = ConfigManager(ConfigRepository(session), BaseConfig)
        artifacts = ArtifactManager(ArtifactRepository(session))
        yield Linked(LinkManager(LinkRepository(session), configs, artifacts), configs, artifacts)
        await session.rollback()


async def test_a_link_is_seen_from_both_sides(linked: Linked) -> None:
    config, root = await linked.config(), await linked.artifact()
    child = await linked.artifact(root)
    await linked.links.link(config, root)
    await linked.links.link(config, root)
    assert [ULID(item[7:33].decode()) for item in await linked.links.render_artifacts(config)] == [root]
    for artifact in (root, child):
        found = await linked.links.find_config(artifact)
        assert found is not None
        assert found.id == (await linked.links.get_config(artifact)).id == config


async def test_nothing_is_found_where_nothing_is_linked(linked: Linked) -> None:
    assert await linked.links.find_config(await linked.artifact()) is None
    assert await linked.links.find_config(ULID()) is None
    assert await linked.links.render_artifacts(await linked.config()) == []


Attempt = Callable[[Linked, ULID, ULID], Awaitable[object]]


@pytest.mark.parametrize(
    ("attempt", "kind", "code"),
    [
        (lambda linked, config, root: linked.links.link(ULID(), root), NotFoundError, "config-unknown"),
        (lambda linked, config, root: linked.links.link(config, ULID()), NotFoundError, "artifact-unknown"),
        (lambda linked, config, root: linked.links.unlink(config, root), NotFoundError, "link-unknown"),
        (lambda linked, config, root: linked.links.get_config(root), NotFoundError, "artifact-not-linked"),
        (lambda linked, config, root: linked.links.get_config(ULID()), NotFoundError, "artifact-unknown"),
        (lambda linked, config, root: linked.links.render_artifacts(ULID()), NotFoundError, "config-unknown"),
    ],
)
async def test_what_is_not_there_is_named(linked: Linked, attempt: Attempt, kind: type[Exception], code: str) -> None:
    with pytest.raises(kind) as caught:
        await attempt(linked, await linked.config(), await linked.artifact())
    assert getattr(caught.value, "code", None) == code


async def test_a_child_and_what_belongs_to_another_are_refused(linked: Linked) -> None:
    config, other, root = await linked.config(), await linked.config(), await linked.artifact()
    with pytest.raises(ValidationError) as not_root:
        await linked.links.link(config, await linked.artifact(root))
    assert not_root.value.code == "artifact-not-root"
    await linked.links.link(config, root)
    with pytest.raises(ConflictError) as elsewhere:
        await linked.links.link(other, root)
    assert (elsewhere.value.code, elsewhere.value.extensions["found"]) == ("artifact-linked-elsewhere", config)


async def test_more_artifacts_are_listed_than_a_statement_can_name(linked: Linked) -> None:
    config = await linked.config()
    artifacts = await linked.artifacts.save_all(ArtifactIn(data={}) for _ in range(501))
    for artifact in artifacts:
        await linked.links.repository.add(config, artifact.id)
    rendered = await linked.links.render_artifacts(config)
    assert [item[7:33].decode() for item in rendered] == sorted(artifact.id for artifact in artifacts)


async def test_trees_are_released_with_their_configuration(linked: Linked) -> None:
    config, root = await linked.config(), await linked.artifact()
    await linked.artifact(root)
    kept = await linked.artifact()
    await linked.links.link(config, root)
    entity = await linked.configs.repository.get(config)
    with pytest.raises(ConflictError) as caught:
        await linked.links.release(entity, cascade=False)
    assert caught.value.extensions["artifact_ids"] == [root]
    await linked.links.release(entity, cascade=True)
    assert [artifact.id for artifact in await linked.artifacts.find_all()] == [kept]

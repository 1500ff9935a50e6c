import asyncio
from typing import Any

import pytest
from pydantic_core import from_json
from sqlalchemy import update

from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.models import Artifact
from chapkit.artifact.ports import ArtifactChange, ArtifactGuards, NodeConfigs
from chapkit.artifact.repository import MAX_DEPTH
from chapkit.artifact.schemas import ArtifactIn
from chapkit.core.errors import ConflictError, UnprocessableError
from chapkit.core.events import EntityDeleted, EntityDeleting, Event
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from tests.unit.artifact.conftest import Application

pytestmark = pytest.mark.anyio


async def add(application: Application, parent_id: ULID | None = None, **options: Any) -> ULID:
    async with application.services.scope.write() as scope:
        return (await scope.get(ArtifactManager).store(None, parent_id=parent_id, **options)).id


async def chain(application: Application, length: int) -> list[ULID]:
    ids = [ULID() for _ in range(length)]
    items = [ArtifactIn(id=id, data=None, parent_id=ids[n - 1] if n else None) for n, id in enumerate(ids)]
    async with application.services.scope.write() as scope:
        await scope.get(ArtifactManager).save_all(items)
    return ids


async def move(application: Application, id: ULID, parent_id: ULID | None) -> None:
    async with application.services.scope.write() as scope:
        await scope.get(ArtifactManager).patch(id, {"parent_id": parent_id})


async def levels(application: Application, *ids: ULID) -> list[int]:
    async with application.services.scope.read() as scope:
        found = await scope.get(ArtifactManager).find_all_by_id(ids)
    by_id = {item.id: item.level for item in found}
    return [by_id[id] for id in ids]


async def test_a_child_lies_one_level_deeper(application: Application) -> None:
    ids = await chain(application, 4)
    assert await levels(application, *ids) == [0, 1, 2, 3]


async def test_an_unknown_parent_is_refused(application: Application) -> None:
    unknown = ULID()
    with pytest.raises(UnprocessableError) as caught:
        await add(application, unknown)
    assert caught.value.code == "parent-unknown"
    root = await add(application)
    with pytest.raises(UnprocessableError) as moved:
        await move(application, root, unknown)
    assert moved.value.code == "parent-unknown"


async def test_an_artifact_cannot_be_its_own_parent_from_the_start(application: Application) -> None:
    id = ULID()
    with pytest.raises(UnprocessableError):
        await add(application, id, id=id)


@pytest.mark.parametrize("below", [0, 1, 3])
async def test_a_circle_is_refused(application: Application, below: int) -> None:
    ids = await chain(application, 4)
    with pytest.raises(ConflictError) as caught:
        await move(application, ids[0], ids[below])
    assert caught.value.code == "artifact-cycle"
    assert await levels(application, *ids) == [0, 1, 2, 3]


async def test_a_tree_has_a_greatest_depth(application: Application) -> None:
    ids = await chain(application, MAX_DEPTH)
    with pytest.raises(UnprocessableError) as caught:
        await add(application, ids[-1])
    assert caught.value.code == "artifact-too-deep"
    async with application.services.scope.read() as scope:
        assert len(await scope.get(ArtifactManager).find_subtree(ids[0])) == MAX_DEPTH
        root = await scope.get(ArtifactManager).repository.get_root(ids[-1])
        assert root is not None
        assert root.id == ids[0]


async def test_a_tree_that_would_become_too_deep_does_not_move(application: Application) -> None:
    upper, lower = await chain(application, 40), await chain(application, 40)
    with pytest.raises(UnprocessableError) as caught:
        await move(application, lower[0], upper[-1])
    assert caught.value.code == "artifact-too-deep"
    await move(application, lower[0], upper[23])
    assert await levels(application, lower[-1]) == [63]


async def test_what_is_below_moves_along(application: Application) -> None:
    ids = await chain(application, 4)
    other = await chain(application, 3)
    await move(application, ids[1], other[2])
    assert await levels(application, *ids) == [0, 3, 4, 5]
    await move(application, ids[1], None)
    assert await levels(application, *ids) == [0, 0, 1, 2]


async def test_a_replacement_with_a_null_parent_makes_a_root_and_one_without_leaves_it(
    application: Application,
) -> None:
    ids = await chain(application, 2)
    async with application.services.scope.write() as scope:
        kept = await scope.get(ArtifactManager).replace(ids[1], ArtifactIn(data=1))
    assert (kept.parent_id, kept.level) == (ids[0], 1)
    async with application.services.scope.write() as scope:
        freed = await scope.get(ArtifactManager).replace(ids[1], ArtifactIn(data=1, parent_id=None))
    assert (freed.parent_id, freed.level) == (None, 0)


async def test_a_tree_damaged_by_hand_comes_to_an_end(application: Application) -> None:
    ids = await chain(application, 3)
    async with application.services.scope.write() as scope:
        await scope.session.execute(update(Artifact).where(Artifact.id == ids[0]).values(parent_id=ids[2]))
    async with application.services.scope.read() as scope:
        manager = scope.get(ArtifactManager)
        assert len(await manager.find_subtree(ids[0])) == 3
        assert await manager.repository.get_root(ids[1]) is None
        tree = await manager.build_tree(ids[0])
        rendered = await manager.render_tree(ids[0])
    assert tree is not None
    assert tree.children is not None
    assert tree.children[0].children is not None
    assert tree.children[0].children[0].children == []
    assert rendered is not None
    assert from_json(rendered) == tree.model_dump(mode="json")


async def test_an_artifact_with_children_stays(application: Application) -> None:
    root = await add(application)
    for _ in range(2):
        await add(application, root)
    with pytest.raises(ConflictError) as caught:
        async with application.services.scope.write() as scope:
            await scope.get(ArtifactManager).delete_by_id(root)
    assert caught.value.code == "artifact-has-children"
    assert caught.value.extensions["children"] == 2


async def test_a_whole_tree_goes_leaf_first_with_its_events(application: Application) -> None:
    ids = await chain(application, 3)
    told: list[tuple[type[Event], str]] = []

    async def note(event: Event, scope: Any) -> None:
        assert isinstance(event, EntityDeleting | EntityDeleted)
        told.append((type(event), event.entity.id))

    application.services.on_event(note)
    async with application.services.scope.write() as scope:
        await scope.get(ArtifactManager).delete_by_id(ids[0], cascade=True)
        assert await scope.get(ArtifactManager).count() == 0
    assert told == [(kind, id) for id in reversed(ids) for kind in (EntityDeleting, EntityDeleted)]


async def test_all_can_be_deleted_at_once(application: Application) -> None:
    ids = await chain(application, 3)
    async with application.services.scope.write() as scope:
        await scope.get(ArtifactManager).delete_all_by_id(ids[1:])
    await add(application, ids[0])
    async with application.services.scope.write() as scope:
        await scope.get(ArtifactManager).delete_all()
        assert await scope.get(ArtifactManager).count() == 0


async def test_guards_are_asked_before_an_artifact_moves_or_goes(application: Application) -> None:
    asked: list[tuple[ULID, ArtifactChange]] = []

    async def refuse_moves(scope: Scope, artifact: Artifact, change: ArtifactChange) -> None:
        assert scope.get(ArtifactManager) is not None
        asked.append((artifact.id, change))
        if change.kind == "move":
            raise ConflictError("This one stays", code="stays")

    application.services.get(ArtifactGuards).add(refuse_moves)
    root, other = await add(application), await add(application)
    with pytest.raises(ConflictError, match="stays"):
        await move(application, root, other)
    assert await levels(application, root) == [0]
    async with application.services.scope.write() as scope:
        await scope.get(ArtifactManager).delete_by_id(other)
    assert asked == [(root, ArtifactChange("move", other)), (other, ArtifactChange("delete"))]


async def test_nodes_have_labels_and_the_configuration_of_the_one_asked_for(application: Application) -> None:
    async def find(scope: Scope, id: ULID) -> Any:
        return {"name": "linked"} if id == ids[0] else None

    application.services.get(NodeConfigs).source = find
    ids = await chain(application, 3)
    async with application.services.scope.read() as scope:
        manager = scope.get(ArtifactManager)
        root, child = await manager.expand_artifact(ids[0]), await manager.expand_artifact(ids[1])
        tree = await manager.build_tree(ids[0])
        rendered = await manager.render_tree(ids[0])
        expanded = await manager.render_expanded(await manager.repository.get(ids[0]))
    assert root is not None
    assert child is not None
    assert tree is not None
    assert rendered is not None
    assert (root.hierarchy, root.level_label, root.config, root.children) == (
        "pipeline",
        "model",
        {"name": "linked"},
        None,
    )
    assert (child.level_label, child.config) == ("prediction", None)
    assert tree.config == {"name": "linked"}
    assert tree.children is not None
    assert tree.children[0].children is not None
    assert tree.children[0].children[0].level_label == "level_2"
    assert from_json(rendered) == tree.model_dump(mode="json")
    assert from_json(expanded) == root.model_dump(mode="json")


async def test_of_an_unknown_artifact_there_is_no_tree(application: Application) -> None:
    async with application.services.scope.read() as scope:
        manager = scope.get(ArtifactManager)
        assert await manager.build_tree(ULID()) is None
        assert await manager.render_tree(ULID()) is None
        assert await manager.expand_artifact(ULID()) is None
        assert await manager.find_subtree(ULID()) == []
        assert await manager.repository.get_root_artifact(ULID()) is None


async def test_the_repository_finds_children_and_descendants(application: Application) -> None:
    ids = await chain(application, 3)
    sibling = await add(application, ids[0])
    async with application.services.scope.read() as scope:
        repository = scope.get(ArtifactManager).repository
        assert [item.id for item in await repository.children_of(ids[0])] == [ids[1], sibling]
        assert set(await repository.find_descendants(ids[0])) == {ids[1], ids[2], sibling}
        assert list(await repository.find_ancestors(ids[2])) == ids[::-1]
        assert await repository.height_of(ids[0]) == 2


async def test_two_that_move_under_each_other_at_once_make_no_circle(application: Application) -> None:
    one, other = await add(application), await add(application)
    outcomes = await asyncio.gather(
        move(application, one, other), move(application, other, one), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ConflictError", "NoneType"]


async def test_children_that_are_added_while_their_tree_moves_have_the_right_level(application: Application) -> None:
    root, target = await add(application), await add(application)
    _, *children = await asyncio.gather(move(application, root, target), *(add(application, root) for _ in range(5)))
    assert await levels(application, target, root, *children) == [0, 1, *([2] * 5)]

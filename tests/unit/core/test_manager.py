from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from chapkit.core.database import Database
from chapkit.core.errors import ConflictError, NotFoundError
from chapkit.core.ids import ULID
from chapkit.core.query import Filter, Operator, Query
from tests.things import Thing, ThingIn, ThingManager, ThingOut

pytestmark = pytest.mark.anyio


@pytest.fixture
async def manager(database: Database) -> AsyncGenerator[ThingManager]:
    async with database.session() as session:
        yield ThingManager(session)


async def _stored(database: Database) -> list[ThingOut]:
    async with database.session() as session:
        return await ThingManager(session).find_all()


async def test_creating_commits_and_answers_with_what_is_stored(database: Database, manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a", tags=["x"], extra={"n": 1}))
    assert (made.name, made.size, made.tags, made.extra) == ("a", 7, ["x"], {"n": 1})
    assert await _stored(database) == [made]


async def test_a_chosen_id_is_kept(manager: ThingManager) -> None:
    id = ULID()
    assert (await manager.create(ThingIn(id=id, name="a"))).id == id


async def test_an_id_can_be_taken_only_once(database: Database, manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a"))
    with pytest.raises(ConflictError) as raised:
        await manager.create(ThingIn(id=made.id, name="b"))
    assert raised.value.code == "id-exists"
    assert await _stored(database) == [made]


async def test_replacing_writes_an_explicit_null(manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a", size=3, ratio=1.5))
    changed = await manager.replace(made.id, ThingIn(name="a", size=None))
    assert changed.size is None


async def test_replacing_leaves_alone_what_was_not_sent(manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a", size=3, ratio=1.5, tags=["x"], extra={"n": 1}))
    changed = await manager.replace(made.id, ThingIn(name="b"))
    assert (changed.name, changed.size, changed.ratio, changed.tags, changed.extra) == ("b", 3, 1.5, ["x"], {"n": 1})
    assert changed.created_at == made.created_at
    assert changed.updated_at > made.updated_at


async def test_replacing_never_changes_the_id(manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a"))
    assert (await manager.replace(made.id, ThingIn(id=ULID(), name="b"))).id == made.id


async def test_patching_merges_objects_and_a_null_brings_the_default_back(manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a", size=3, ratio=1.5, extra={"keep": 1, "go": 2, "deep": {"x": 1}}))
    changes: dict[str, Any] = {"size": None, "extra": {"go": None, "deep": {"y": 2}}}
    changed = await manager.patch(made.id, changes, ThingIn)
    assert changed.size == 7
    assert changed.extra == {"keep": 1, "deep": {"x": 1, "y": 2}}
    assert changed.ratio == 1.5


async def test_an_invalid_patch_changes_nothing(database: Database, manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a"))
    with pytest.raises(ValidationError):
        await manager.patch(made.id, {"name": None}, ThingIn)
    assert await _stored(database) == [made]


async def test_a_patch_sees_what_is_stored_now(database: Database, manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a", extra={"mine": 1}))
    async with database.session() as session:
        await ThingManager(session).patch(made.id, {"extra": {"theirs": 2}}, ThingIn)
    changed = await manager.patch(made.id, {"extra": {"mine": 3}}, ThingIn)
    assert changed.extra == {"mine": 3, "theirs": 2}


async def test_what_is_missing_cannot_be_changed(manager: ThingManager) -> None:
    with pytest.raises(NotFoundError):
        await manager.replace(ULID(), ThingIn(name="a"))
    with pytest.raises(NotFoundError):
        await manager.patch(ULID(), {"name": "a"}, ThingIn)
    with pytest.raises(NotFoundError):
        await manager.get(ULID())
    assert await manager.find_by_id(ULID()) is None


async def test_saving_creates_first_and_changes_then(database: Database, manager: ThingManager) -> None:
    id = ULID()
    await manager.save(ThingIn(id=id, name="a", size=1))
    changed = await manager.save(ThingIn(id=id, name="b"))
    assert (changed.name, changed.size) == ("b", 1)
    assert manager.steps == ["pre_save", "post_save", "pre_update", "post_update"]
    assert await _stored(database) == [changed]


async def test_saving_many_keeps_all(database: Database, manager: ThingManager) -> None:
    saved = await manager.save_all([ThingIn(name="a"), ThingIn(name="b")])
    assert await _stored(database) == sorted(saved, key=lambda thing: thing.id)


async def test_saving_many_keeps_nothing_after_a_failing_hook(database: Database, manager: ThingManager) -> None:
    before = await manager.create(ThingIn(name="before"))
    manager.fails_in, manager.fails_for = "post_save", "bad"
    with pytest.raises(RuntimeError, match="post_save of bad failed"):
        await manager.save_all([ThingIn(id=before.id, name="changed"), ThingIn(name="good"), ThingIn(name="bad")])
    assert await _stored(database) == [before]


async def test_saving_many_keeps_nothing_after_a_broken_rule(database: Database, manager: ThingManager) -> None:
    with pytest.raises(SQLAlchemyError):
        await manager.save_all([ThingIn(name="same"), ThingIn(name="same")])
    assert await _stored(database) == []


async def test_a_manager_can_go_on_after_an_error(database: Database, manager: ThingManager) -> None:
    manager.fails_in, manager.fails_for = "post_save", "bad"
    with pytest.raises(RuntimeError):
        await manager.create(ThingIn(name="bad"))
    made = await manager.create(ThingIn(name="good"))
    assert await _stored(database) == [made]


@pytest.mark.parametrize("step", ["pre_save", "post_save"])
async def test_a_failing_hook_undoes_a_creation(database: Database, manager: ThingManager, step: str) -> None:
    manager.fails_in = step
    with pytest.raises(RuntimeError):
        await manager.create(ThingIn(name="a"))
    assert await _stored(database) == []


@pytest.mark.parametrize("step", ["pre_update", "post_update", "pre_delete", "post_delete"])
async def test_a_failing_hook_undoes_a_change(database: Database, manager: ThingManager, step: str) -> None:
    made = await manager.create(ThingIn(name="a"))
    manager.fails_in = step
    change = manager.replace(made.id, ThingIn(name="b")) if "update" in step else manager.delete_by_id(made.id)
    with pytest.raises(RuntimeError):
        await change
    assert await _stored(database) == [made]


async def test_the_six_hooks_run_in_order(manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a"))
    await manager.replace(made.id, ThingIn(name="b"))
    await manager.delete_by_id(made.id)
    assert manager.steps == ["pre_save", "post_save", "pre_update", "post_update", "pre_delete", "post_delete"]


async def test_hooks_of_a_change_see_the_old_and_the_new_values(manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a", size=3))
    await manager.replace(made.id, ThingIn(name="b", size=3))
    before, after = manager.notes[2:]
    assert before.detail == {"name": "a", "size": 3}
    assert after.detail == {"name": ("a", "b")}


async def test_what_a_hook_assigns_is_stored(database: Database, manager: ThingManager) -> None:
    class Shouting(ThingManager):
        async def pre_save(self, entity: Thing, data: ThingIn) -> None:
            entity.name = data.name.upper()

    await Shouting(manager.session).create(ThingIn(name="a"))
    assert [thing.name for thing in await _stored(database)] == ["A"]


async def test_a_manager_may_refuse_to_assign_a_field(manager: ThingManager) -> None:
    class Careful(ThingManager):
        def _should_assign_field(self, field: str, value: object) -> bool:
            return field != "size" or value is not None

    made = await manager.create(ThingIn(name="a", size=3))
    changed = await Careful(manager.session).replace(made.id, ThingIn(name="b", size=None))
    assert (changed.name, changed.size) == ("b", 3)


async def test_deleting_what_is_missing_does_nothing(manager: ThingManager) -> None:
    await manager.delete_by_id(ULID())
    assert manager.steps == []


async def test_deleting_many_runs_the_hooks_of_each(database: Database, manager: ThingManager) -> None:
    made = [await manager.create(ThingIn(name=name)) for name in "abc"]
    manager.notes.clear()
    await manager.delete_all_by_id([made[0].id, ULID(), made[2].id])
    assert [note.name for note in manager.notes] == ["a", "a", "c", "c"]
    await manager.delete_all()
    assert [note.name for note in manager.notes][4:] == ["b", "b"]
    assert await _stored(database) == []


async def test_reading_leaves_no_transaction_open(manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="a"))
    await manager.find_all()
    await manager.find_by_id(made.id)
    await manager.count()
    await manager.exists_by_id(made.id)
    assert not manager.session.in_transaction()


async def test_reading_finds_pages_many_and_some(manager: ThingManager) -> None:
    made = [await manager.create(ThingIn(name=str(number), size=number)) for number in range(5)]
    assert await manager.find_paginated(2, 2) == (made[2:4], 5)
    assert await manager.find_all_by_id([made[3].id, made[0].id]) == [made[0], made[3]]
    query = Query(filters=(Filter(("size",), Operator.GE, "3"),))
    assert list(await manager.list(query)) == made[3:]
    assert await manager.count(query) == 2
    with pytest.raises(ValueError, match="page"):
        await manager.find_paginated(0, 2)


async def test_what_a_manager_renders_is_what_it_returns(manager: ThingManager) -> None:
    made = await manager.create(ThingIn(name="ä", extra={"n": [1, None]}))
    entity = await manager.repository.get(made.id)
    assert ThingOut.model_validate_json(manager.render(entity)) == made
    assert await manager.render_list(Query()) == [(made.id, manager.render(entity))]


async def test_a_manager_answers_to_the_names_of_the_first_release(manager: ThingManager) -> None:
    assert manager.repo is manager.repository

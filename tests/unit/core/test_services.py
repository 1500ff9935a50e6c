from collections.abc import AsyncGenerator
from typing import Any

import pytest

from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError, ConflictError
from chapkit.core.events import EntityDeleted, EntityDeleting, EntitySaved, Event
from chapkit.core.ids import ULID
from chapkit.core.services import Key, Scope, Services
from tests.things import ThingIn, ThingManager, open_database, services_over

pytestmark = pytest.mark.anyio


@pytest.fixture
def services(database: Database) -> Services:
    return services_over(database)


@pytest.fixture
async def memory() -> AsyncGenerator[Services]:
    database = open_database("sqlite+aiosqlite:///:memory:")
    await database.init()
    yield services_over(database)
    await database.dispose()


async def _names(services: Services) -> list[str]:
    async with services.scope.read() as scope:
        return [thing.name for thing in await scope.get(ThingManager).find_all()]


async def test_a_service_finds_what_it_was_given() -> None:
    services = Services()
    services.add(str, "plain")
    services.add(Key(str, "named"), "by name")
    assert services.get(str) == "plain"
    assert services.get(Key(str, "named")) == "by name"
    assert services.find(int) is None


async def test_a_missing_thing_is_named() -> None:
    with pytest.raises(ConfigurationError, match="ThingManager") as raised:
        Services().get(ThingManager)
    assert raised.value.code == "service-missing"
    with pytest.raises(ConfigurationError, match="ThingManager 'second'"):
        Services().factory(Key(ThingManager, "second"))


async def test_two_services_share_nothing() -> None:
    first, second = Services(), Services()
    first.add(str, "first")
    first.scoped(ThingManager, lambda scope: ThingManager(scope.session))

    async def handler(event: Event, scope: Any) -> None: ...

    first.on_event(handler)
    assert second.find(str) is None
    assert not second.has_scoped(ThingManager)
    assert second.handlers == ()


async def test_the_first_of_a_type_answers_for_the_type(memory: Services) -> None:
    services = Services()
    services.add(Database, memory.get(Database))
    services.scoped(Key(list, "first"), lambda scope: ["first"])
    services.scoped(Key(list, "second"), lambda scope: ["second"])
    async with services.scope.read() as scope:
        assert scope.get(list) == ["first"]
        assert scope.get(Key(list, "second")) == ["second"]


async def test_a_scope_makes_each_thing_once(memory: Services) -> None:
    async with memory.scope.read() as scope, memory.scope.read() as other:
        assert scope.get(ThingManager) is scope.get(ThingManager)
        assert scope.get(ThingManager) is not other.get(ThingManager)
        assert scope.get(ThingManager).session is scope.session


async def test_a_scope_that_does_nothing_opens_no_session() -> None:
    async with Services().scope.write():
        pass


async def test_a_write_scope_commits_at_its_end_and_not_before(services: Services) -> None:
    async with services.scope.write() as scope:
        await scope.get(ThingManager).create(ThingIn(name="a"))
        assert await _names(services) == []
    assert await _names(services) == ["a"]


async def test_an_error_undoes_the_whole_scope(services: Services) -> None:
    with pytest.raises(RuntimeError, match="stop"):  # noqa: PT012  # the error has to leave the scope
        async with services.scope.write() as scope:
            await scope.get(ThingManager).create(ThingIn(name="a"))
            await scope.get(ThingManager).create(ThingIn(name="b"))
            raise RuntimeError("stop")
    assert await _names(services) == []


async def test_a_read_scope_refuses_to_write(services: Services) -> None:
    async with services.scope.read() as scope:
        with pytest.raises(ConfigurationError, match="only reads"):
            await scope.get(ThingManager).create(ThingIn(name="a"))
    assert await _names(services) == []


async def test_a_broken_rule_is_told_without_sql(services: Services) -> None:
    with pytest.raises(ConflictError) as raised:  # noqa: PT012  # the error has to leave the scope
        async with services.scope.write() as scope:
            await scope.get(ThingManager).create(ThingIn(name="same"))
            await scope.get(ThingManager).create(ThingIn(name="same"))
    assert raised.value.code == "constraint-violated"
    assert "test_things" not in str(raised.value)
    assert "INSERT" not in str(raised.value)


async def test_a_savepoint_undoes_only_what_is_inside(services: Services) -> None:
    async with services.scope.write() as scope:
        manager = scope.get(ThingManager)
        await manager.create(ThingIn(name="before"))
        with pytest.raises(RuntimeError):  # noqa: PT012  # the error has to leave the scope
            async with scope.savepoint():
                await manager.create(ThingIn(name="inside"))
                raise RuntimeError
        async with scope.savepoint():
            await manager.create(ThingIn(name="kept"))
        await manager.create(ThingIn(name="after"))
    assert await _names(services) == ["before", "kept", "after"]


async def test_callbacks_run_after_the_commit(services: Services) -> None:
    seen: list[Any] = []

    async def look() -> None:
        seen.append(await _names(services))

    async with services.scope.write() as scope:
        await scope.get(ThingManager).create(ThingIn(name="a"))
        scope.after_commit(look)
        scope.after_commit(lambda: seen.append("plain"))
        assert seen == []
    assert seen == [["a"], "plain"]


async def test_callbacks_do_not_run_after_an_error(services: Services) -> None:
    seen: list[str] = []
    with pytest.raises(RuntimeError):  # noqa: PT012  # the error has to leave the scope
        async with services.scope.write() as scope:
            await scope.get(ThingManager).create(ThingIn(name="a"))
            scope.after_commit(lambda: seen.append("told"))
            raise RuntimeError
    assert seen == []


async def test_callbacks_do_not_run_when_the_commit_fails(memory: Services) -> None:
    seen: list[str] = []
    id = ULID()
    with pytest.raises(ConflictError):  # noqa: PT012  # the error has to leave the scope
        async with memory.scope.write() as scope:
            manager = scope.get(ThingManager)
            await manager.create(ThingIn(id=id, name="a"))
            scope.session.expunge_all()
            scope.session.add(manager.model_cls(id=id, name="b"))
            scope.after_commit(lambda: seen.append("told"))
    assert seen == []
    assert await _names(memory) == []


async def test_events_are_told_inside_of_the_transaction(services: Services) -> None:
    heard: list[tuple[str, Any]] = []

    async def listen(event: Event, scope: Scope) -> None:
        heard.append((type(event).__name__, await scope.get(ThingManager).count()))

    services.on_event(listen)
    async with services.scope.write() as scope:
        manager = scope.get(ThingManager)
        made = await manager.create(ThingIn(name="a"))
        await manager.replace(made.id, ThingIn(name="b"))
        await manager.delete_by_id(made.id)
    assert heard == [("EntitySaved", 1), ("EntitySaved", 1), ("EntityDeleting", 1), ("EntityDeleted", 0)]


async def test_events_tell_what_happened(memory: Services) -> None:
    events: list[Event] = []

    async def listen(event: Event, scope: Scope) -> None:
        events.append(event)

    memory.on_event(listen)
    async with memory.scope.write() as scope:
        manager = scope.get(ThingManager)
        made = await manager.create(ThingIn(name="a"))
        await manager.replace(made.id, ThingIn(name="b", size=7))
        await manager.delete_by_id(made.id, cascade=True)
    created, changed, deleting, deleted = events
    assert isinstance(created, EntitySaved)
    assert created.created
    assert isinstance(changed, EntitySaved)
    assert (changed.created, changed.changes) == (False, {"name": ("a", "b")})
    assert isinstance(deleting, EntityDeleting)
    assert deleting.cascade is True
    assert isinstance(deleted, EntityDeleted)
    assert {event.entity.id for event in events} == {made.id}


async def test_an_error_of_a_listener_undoes_everything(services: Services) -> None:
    async def refuse(event: Event, scope: Scope) -> None:
        raise ConflictError("not now")

    services.on_event(refuse)
    with pytest.raises(ConflictError, match="not now"):
        async with services.scope.write() as scope:
            await scope.get(ThingManager).create(ThingIn(name="a"))
    assert await _names(services) == []

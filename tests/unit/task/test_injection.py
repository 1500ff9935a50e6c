import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, Protocol, TypeVar

import pytest
from pydantic import BaseModel
from typing_extensions import TypeAliasType

from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.task.errors import ProviderMissingError
from chapkit.task.injection import Providers
from chapkit.task.loop_things import LoopThings
from chapkit.task.parameters import Parameters
from chapkit.task.run import Run
from chapkit.task.serializers import Serializers

pytestmark = pytest.mark.anyio
T = TypeVar("T")


class Store:
    """Something that a function may want."""

    def __init__(self, name: str = "store") -> None:
        self.name = name
        self.closed = False


class FileStore(Store):
    """A narrower one."""


class TempStore(FileStore):
    """An even narrower one."""


class Manager(Generic[T]):
    """One for each type of config."""

    def __init__(self, config: type[T]) -> None:
        self.config = config


class First:
    """A config."""


class Second:
    """Another one."""


class FirstManager(Manager[First]):
    """The manager of one of them, by a name of its own."""


class Settings(BaseModel):
    region: str = "north"


class Ticker(Protocol):
    """Has no class of its own."""

    def now(self) -> int: ...


class Nobody:
    """Provided by nobody."""


@pytest.fixture
def providers() -> Providers:
    return Providers(Serializers())


@pytest.fixture
async def things() -> AsyncIterator[LoopThings]:
    things = LoopThings()
    yield things
    await things.close()


async def _brought(
    providers: Providers, function: Callable[..., Any], things: LoopThings | None = None
) -> dict[str, Any]:
    plan = providers.resolve(function)
    owned = things or LoopThings()
    try:
        async with plan.open(Run(Services(), "test", owned)) as arguments:
            return arguments
    finally:
        if things is None:
            await owned.close()


async def test_a_function_is_brought_what_it_is_annotated_with(providers: Providers) -> None:
    providers.add(Store, lambda: Store("made"))

    def run(
        days: int, store: Store, *args: Store, other: Annotated[Store, "x"], maybe: Store | None, **more: Store
    ) -> None: ...

    plan = providers.resolve(run)
    assert plan.names == {"store", "other", "maybe"}
    arguments = await _brought(providers, run)
    assert {name: thing.name for name, thing in arguments.items()} == dict.fromkeys(plan.names, "made")
    # One run, one thing.
    assert arguments["store"] is arguments["other"] is arguments["maybe"]
    assert (await _brought(providers, run))["store"] is not arguments["store"]


async def test_nothing_is_made_for_a_function_that_wants_nothing(providers: Providers) -> None:
    def run(days: int, name: str = "") -> None: ...

    plan = providers.resolve(run)
    assert plan.is_ready
    assert plan.ready == {}
    assert not plan.names


async def test_what_is_missing_is_none_where_that_is_allowed_and_the_default_where_there_is_one(
    providers: Providers,
) -> None:
    store = Store("default")

    def run(a: Nobody | None, b: Nobody | None = None, c: Nobody = store, d: "Nobody | None" = store) -> None: ...  # type: ignore[assignment]

    plan = providers.resolve(run)
    assert plan.names == {"a", "b", "c", "d"}
    assert await _brought(providers, run) == {"a": None}
    providers.add(Nobody, Nobody)
    assert set(await _brought(providers, run)) == {"a", "b", "c", "d"}


async def test_a_missing_provider_is_told_with_everything_that_helps(providers: Providers) -> None:
    providers.add(Store, Store)
    providers.add(FileStore, FileStore)

    class Stores(Store):
        """Not quite a store."""

    def run(days: int, store: list[Nobody]) -> None: ...

    def near(stoer: "Storr") -> None: ...

    with pytest.raises(ProviderMissingError) as caught:
        providers.resolve(run)
    error = caught.value
    assert (error.code, error.extensions["parameter"]) == ("provider-missing", "store")
    assert error.extensions["function"].endswith("<locals>.run")
    assert error.extensions["place"] == f"{__file__}:{run.__code__.co_firstlineno}"
    assert isinstance(error, ConfigurationError)
    with pytest.raises(ProviderMissingError) as caught:
        providers.resolve(near)
    assert caught.value.extensions["did_you_mean"][0] == "tests.unit.task.test_injection.Store"
    assert "did you mean 'tests.unit.task.test_injection.Store'?" in caught.value.detail
    assert "provide(Storr, factory)" in caught.value.detail
    assert "tests.unit.task.test_injection.FileStore" in caught.value.extensions["expected"]


async def test_a_missing_type_with_arguments_is_told_as_it_is_provided(providers: Providers) -> None:
    def several(store: list[Nobody]) -> None: ...

    def managed(manager: Manager[Nobody]) -> None: ...

    for function, written in ((several, "list[Nobody]"), (managed, "Manager[Nobody]")):
        with pytest.raises(ProviderMissingError) as caught:
            providers.resolve(function)
        assert f"add provide({written}, factory)" in caught.value.detail


class Storr:
    """Written wrongly."""


async def test_a_base_of_what_is_provided_asks_for_it(providers: Providers) -> None:
    providers.add(FileStore, FileStore)

    def run(store: Store) -> None: ...

    assert type((await _brought(providers, run))["store"]) is FileStore
    providers.add(TempStore, TempStore)
    # The nearest one.
    assert type((await _brought(providers, run))["store"]) is FileStore
    providers.add(Store, Store)
    assert type((await _brought(providers, run))["store"]) is Store


async def test_two_that_fit_equally_well_are_refused(providers: Providers) -> None:
    class Other(Store):
        pass

    providers.add(FileStore, FileStore)
    providers.add(Other, Other)

    def run(store: Store) -> None: ...

    with pytest.raises(ConfigurationError, match="annotate it with one of them") as caught:
        providers.resolve(run)
    assert caught.value.code == "provider-ambiguous"
    assert len(caught.value.extensions["expected"]) == 2


async def test_a_narrower_class_is_brought_if_it_turns_out_to_be_one(providers: Providers) -> None:
    made: list[type[Store]] = [FileStore]
    providers.add(Store, lambda: made[0]())

    def run(store: FileStore) -> None: ...

    def optional(store: FileStore | None) -> None: ...

    def default(store: FileStore = FileStore("default")) -> None: ...

    for function in (run, optional, default):
        assert type((await _brought(providers, function))["store"]) is FileStore
    made[0] = Store
    assert await _brought(providers, optional) == {"store": None}
    assert await _brought(providers, default) == {}
    with pytest.raises(ConfigurationError, match=r"wants .*FileStore, but this service has .*Store") as caught:
        await _brought(providers, run)
    assert caught.value.code == "provider-mismatch"


async def test_a_narrower_class_is_refused_at_once_where_it_is_known_not_to_be_one(providers: Providers) -> None:
    def run(store: TempStore) -> None: ...

    def base(store: FileStore) -> None: ...

    providers.add(Store, FileStore, gives=FileStore)
    with pytest.raises(ProviderMissingError):
        providers.resolve(run)
    assert type((await _brought(providers, base))["store"]) is FileStore
    providers.add_value(Store, FileStore("ready"))
    with pytest.raises(ProviderMissingError):
        providers.resolve(run)
    assert (await _brought(providers, base))["store"].name == "ready"


async def test_type_arguments_tell_things_apart(providers: Providers) -> None:
    providers.add(Manager[First], lambda: Manager(First))
    providers.add(Manager[Second], lambda: Manager(Second))

    def run(first: Manager[First], second: Annotated[Manager[Second] | None, "x"]) -> None: ...

    arguments = await _brought(providers, run)
    assert (arguments["first"].config, arguments["second"].config) == (First, Second)

    def bare(manager: Manager) -> None: ...  # type: ignore[type-arg]

    with pytest.raises(ConfigurationError) as caught:
        providers.resolve(bare)
    assert caught.value.code == "provider-ambiguous"
    providers.add(Manager, lambda: Manager(int))
    assert (await _brought(providers, bare))["manager"].config is int

    def unknown(manager: Manager[Nobody]) -> None: ...

    with pytest.raises(ProviderMissingError, match=r"Manager\[.*Nobody\]"):
        providers.resolve(unknown)


async def test_a_bare_class_is_content_with_the_only_one_and_a_subclass_stands_for_its_base() -> None:
    providers = Providers(Serializers())
    providers.add(FirstManager, lambda: FirstManager(First))

    def run(manager: Manager[First]) -> None: ...

    def bare(manager: Manager) -> None: ...  # type: ignore[type-arg]

    for function in (run, bare):
        assert type((await _brought(providers, function))["manager"]) is FirstManager
    other = Providers(Serializers())
    other.add(Manager[First], lambda: Manager(First))
    assert (await _brought(other, bare))["manager"].config is First


async def test_what_users_can_send_is_left_to_them(providers: Providers) -> None:
    class Wide(Settings):
        depth: int = 1

    providers.add(ULID, ULID)
    providers.add(Settings, Settings)

    def run(
        name: str, values: dict[str, Any], anything: object, model: BaseModel, id: ULID, settings: Settings, wide: Wide
    ) -> None: ...

    # A text is no identifier; and settings that are more than those provided are a matter of the user.
    assert providers.resolve(run).names == {"id", "settings"}


async def test_a_model_that_is_derived_of_what_is_wanted_is_brought(providers: Providers) -> None:
    class Wide(Settings):
        depth: int = 1

    providers.add(Wide, Wide)

    def run(settings: Settings) -> None: ...

    assert type((await _brought(providers, run))["settings"]) is Wide


async def test_a_name_for_a_type_means_the_type(providers: Providers) -> None:
    providers.add(Store, Store)
    alias = TypeAliasType("alias", Annotated[Store, "x"])

    def run(store: alias, other: alias | None = None) -> None: ...  # type: ignore[valid-type]

    assert providers.resolve(run).names == {"store", "other"}


async def test_what_is_no_type_is_provided_by_nobody(providers: Providers) -> None:
    def run(store: [Store]) -> None: ...  # type: ignore[valid-type]

    with pytest.raises(ProviderMissingError):
        providers.resolve(run)


async def test_a_protocol_is_asked_for_by_itself(providers: Providers) -> None:
    class Clock:
        def now(self) -> int:
            return 7

    providers.add(Ticker, Clock)

    def run(ticker: Ticker) -> None: ...

    assert (await _brought(providers, run))["ticker"].now() == 7


async def test_unions_of_several_types_are_no_wish(providers: Providers) -> None:
    providers.add(Store, Store)

    def sent(value: int | str) -> None: ...

    def mixed(value: Store | Nobody) -> None: ...

    assert not providers.resolve(sent).names
    with pytest.raises(ProviderMissingError):
        providers.resolve(mixed)


async def test_factories_may_be_anything_that_makes_something(  # noqa: C901
    providers: Providers, things: LoopThings
) -> None:
    closed: list[str] = []

    async def later() -> Store:
        await asyncio.sleep(0)
        return Store("async")

    def generator() -> Generator[Store]:
        yield Store("generator")
        closed.append("generator")

    async def async_generator() -> AsyncGenerator[Store]:
        yield Store("async generator")
        closed.append("async generator")

    @contextmanager
    def managed() -> Generator[Store]:
        yield Store("managed")
        closed.append("managed")

    @asynccontextmanager
    async def async_managed() -> AsyncGenerator[Store]:
        yield Store("async managed")
        closed.append("async managed")

    class Factory:
        async def __call__(self) -> Store:
            return Store("object")

        def generate(self) -> Generator[Store]:
            yield Store("method")
            closed.append("method")

    def named(name: str = "default") -> Generator[Store]:
        yield Store(name)
        closed.append(name)

    expected = {
        "store": Store,
        "async": later,
        "generator": generator,
        "async generator": async_generator,
        "managed": managed,
        "async managed": async_managed,
        "object": Factory(),
        "method": Factory().generate,
        "default": named,
        "partial": partial(named, "partial"),
    }

    def run(store: Store) -> None: ...

    for name, factory in expected.items():
        providers.add(Store, factory)
        assert (await _brought(providers, run, things))["store"].name == name
    assert closed == ["generator", "async generator", "managed", "async managed", "method", "default", "partial"]


async def test_a_thing_with_a_context_of_its_own_is_not_entered(providers: Providers) -> None:
    class Client:
        entered = False

        async def __aenter__(self) -> "Client":
            self.entered = True
            return self

        async def __aexit__(self, *error: object) -> None: ...

    providers.add(Client, Client)

    def run(client: Client) -> None: ...

    assert (await _brought(providers, run))["client"].entered is False


@dataclass
class Chain:
    """Made of others."""

    store: Store
    manager: Manager[First]


async def test_factories_ask_for_other_things(providers: Providers) -> None:
    async def manager(store: Store, missing: Nobody | None, run: Run, plain: int = 3) -> Manager[First]:
        assert missing is None
        assert plain == 3
        assert run.function == "test"
        assert store.name == "store"
        return Manager(First)

    providers.add(Chain, Chain)
    providers.add(Manager[First], manager)
    providers.add(Store, Store)

    def run(chain: Chain, store: Store) -> None: ...

    providers.check()
    arguments = await _brought(providers, run)
    assert arguments["chain"].store is arguments["store"]


async def test_what_a_factory_asks_for_must_be_there(providers: Providers) -> None:
    def make(nobody: Nobody) -> Store:
        return Store()

    providers.add(Store, make)

    def run(store: Store) -> None: ...

    for attempt in (lambda: providers.resolve(run), providers.check):
        with pytest.raises(ProviderMissingError) as caught:
            attempt()
        assert caught.value.extensions["function"].endswith("<locals>.make")

    def untyped(nobody) -> Store:  # type: ignore[no-untyped-def]
        return Store()

    def sent(number: int) -> Store:
        return Store()

    for factory in (untyped, sent):
        providers.add(Store, factory)
        with pytest.raises(ProviderMissingError):
            providers.resolve(run)


async def test_an_annotation_of_a_default_in_a_factory_need_not_be_understood(providers: Providers) -> None:
    def make(odd: "Unheard" = None, *args: "Unheard", **options: "Unheard") -> Store:  # type: ignore[name-defined, assignment]  # noqa: F821
        return Store()

    def broken(odd: "Unheard") -> Store:  # type: ignore[name-defined]  # noqa: F821
        return Store()

    def run(store: Store) -> None: ...

    providers.add(Store, make)
    assert (await _brought(providers, run))["store"].name == "store"
    providers.add(Store, broken)
    with pytest.raises(ConfigurationError) as caught:
        providers.resolve(run)
    assert caught.value.code == "task-annotation-unresolved"


async def test_a_circle_is_found_when_the_service_is_built(providers: Providers) -> None:
    def store(manager: Manager[First]) -> Store:
        return Store()

    def manager(chain: Chain) -> Manager[First]:
        return Manager(First)

    providers.add(Store, store)
    providers.add(Manager[First], manager)
    providers.add(Chain, Chain)

    def run(store: Store) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Store -> .*Manager.* -> .*Chain -> .*Store") as caught:
        providers.resolve(run)
    assert caught.value.code == "provider-circle"


async def test_what_lives_as_long_as_the_service_cannot_ask_for_what_belongs_to_a_run(providers: Providers) -> None:
    providers.add(Store, Store)

    def make(store: Store) -> Manager[First]:
        return Manager(First)

    providers.add(Manager[First], make, scope="app")
    with pytest.raises(ConfigurationError, match="scope='job'") as caught:
        providers.check()
    assert caught.value.code == "provider-scope-invalid"


async def test_one_thing_for_the_service_is_made_once(providers: Providers, things: LoopThings) -> None:
    closed: list[str] = []

    async def make(settings: Settings) -> AsyncGenerator[Store]:
        await asyncio.sleep(0)
        yield Store(settings.region)
        closed.append("store")

    providers.add(Store, make, scope="app")
    providers.add(Settings, Settings, scope="app")

    def run(store: Store) -> None: ...

    found = await asyncio.gather(*(_brought(providers, run, things) for _ in range(10)))
    assert len({id(arguments["store"]) for arguments in found}) == 1
    assert closed == []
    await things.close()
    assert closed == ["store"]


async def test_what_was_made_is_closed_in_reverse_order_whatever_happens(providers: Providers) -> None:
    events: list[str] = []

    def recorded(kind: Any, *needs: Any) -> None:
        async def make(*args: Any, **made: Any) -> AsyncGenerator[Any]:
            events.append(f"open {kind.__name__}")
            try:
                yield kind()
            except BaseException as error:
                events.append(f"{type(error).__name__} in {kind.__name__}")
                raise
            finally:
                await asyncio.sleep(0)
                events.append(f"close {kind.__name__}")

        providers.add(kind, make)

    recorded(Store)
    recorded(First)
    recorded(Second)

    async def run(store: Store, first: First, second: Second) -> None: ...

    plan = providers.resolve(run)
    opened = ["open Store", "open First", "open Second"]
    closing = ["Second", "First", "Store"]
    things = LoopThings()
    async with plan.open(Run(Services(), "test", things)):
        assert events == opened
    assert events == [*opened, *(f"close {name}" for name in closing)]
    events.clear()
    with pytest.raises(ZeroDivisionError):
        async with plan.open(Run(Services(), "test", things)):
            _ = 1 / 0
    told = [text for name in closing for text in (f"ZeroDivisionError in {name}", f"close {name}")]
    assert events == [*opened, *told]
    events.clear()
    begun = asyncio.Event()

    async def hang() -> None:
        async with plan.open(Run(Services(), "test", things)):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == [*opened, *(text.replace("ZeroDivisionError", "CancelledError") for text in told)]
    await things.close()


async def test_what_was_made_is_closed_when_the_next_one_cannot_be(providers: Providers) -> None:
    closed: list[str] = []

    def make() -> Generator[Store]:
        yield Store()
        closed.append("never")

    def make_well() -> Generator[Store]:
        try:
            yield Store()
        finally:
            closed.append("store")

    def fail() -> First:
        raise OSError("no disk")

    providers.add(First, fail)

    def run(store: Store, first: First) -> None: ...

    for factory in (make, make_well):
        providers.add(Store, factory)
        with pytest.raises(OSError, match="no disk") as caught:
            await _brought(providers, run)
        [note] = caught.value.__notes__
        assert note.startswith("while tests.unit.task.test_injection.First was made for ")
        assert note.endswith(f"{run.__qualname__} ({__file__}:{run.__code__.co_firstlineno})")
    assert closed == ["store"]


async def test_nobody_can_hide_what_the_function_raised(providers: Providers) -> None:
    seen: list[str] = []

    def swallow() -> Generator[Store]:
        try:
            yield Store()
        except ZeroDivisionError:
            seen.append("swallowed")

    def last() -> Generator[First]:
        try:
            yield First()
            seen.append("commit")
        except ZeroDivisionError:
            seen.append("rollback")

    providers.add(Store, swallow)
    providers.add(First, last, is_last=True)

    def run(store: Store, first: First) -> None: ...

    things = LoopThings()
    with pytest.raises(ZeroDivisionError):
        async with providers.resolve(run).open(Run(Services(), "test", things)):
            _ = 1 / 0
    assert seen == ["swallowed", "rollback"]
    await things.close()


async def test_what_commits_is_closed_last_and_hears_of_the_others(providers: Providers) -> None:
    seen: list[str] = []

    def fail_to_close() -> Generator[Store]:
        yield Store()
        raise OSError("not closed")

    def unit(first: First) -> Generator[Second]:
        try:
            yield Second()
            seen.append("commit")
        except OSError:
            seen.append("rollback")
            raise

    providers.add(Store, fail_to_close)
    providers.add(First, First)
    providers.add(Second, unit, is_last=True)

    def run(store: Store, second: Second) -> None: ...

    plan = providers.resolve(run)
    assert [step.provider.kind for step in plan.steps] == [First, Second, Store]
    with pytest.raises(OSError, match="not closed"):
        await _brought(providers, run)
    assert seen == ["rollback"]


async def test_an_error_while_closing_does_not_hide_that_of_the_function(
    providers: Providers, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_to_close() -> Generator[Store]:
        try:
            yield Store()
        finally:
            raise OSError("not closed")

    providers.add(Store, fail_to_close)

    def run(store: Store) -> None: ...

    things = LoopThings()
    with pytest.raises(ZeroDivisionError):
        async with providers.resolve(run).open(Run(Services(), "test", things)):
            _ = 1 / 0
    assert "task.not_closed" in capsys.readouterr().out

    def cancel() -> Generator[Store]:
        try:
            yield Store()
        finally:
            raise asyncio.CancelledError

    providers.add(Store, cancel)
    with pytest.raises(asyncio.CancelledError):
        async with providers.resolve(run).open(Run(Services(), "test", things)):
            _ = 1 / 0
    await things.close()


async def test_a_generator_that_yields_twice_is_an_error(providers: Providers) -> None:
    def twice() -> Generator[Store]:
        yield Store()
        yield Store()

    providers.add(Store, twice)

    def run(store: Store) -> None: ...

    with pytest.raises(RuntimeError, match="didn't stop"):
        await _brought(providers, run)


@pytest.mark.parametrize(
    ("kind", "factory", "scope"),
    [
        (Store, None, "job"),
        (Store, "store", "job"),
        (Store, Store, "request"),
        (None, Store, "job"),
        ("Store", Store, "job"),
        ([], Store, "job"),
        (5, Store, "job"),
    ],
)
async def test_providers_that_make_no_sense_are_refused(
    providers: Providers, kind: Any, factory: Any, scope: Any
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        providers.add(kind, factory, scope=scope)
    assert caught.value.code == "provider-invalid"


async def test_what_needs_a_loop_is_refused_to_plain_functions(providers: Providers) -> None:
    providers.add(Store, Store, needs_loop=True)

    def plain(store: Store) -> None: ...

    async def coroutine(store: Store) -> None: ...

    class Runner:
        async def __call__(self, store: Store) -> None: ...

    for function in (coroutine, partial(coroutine), Runner(), Runner().__call__):
        assert providers.resolve(function).names == {"store"}
    with pytest.raises(ConfigurationError, match="write `async def`") as caught:
        providers.resolve(plain)
    assert caught.value.code == "injection-needs-async"
    assert caught.value.extensions["place"].startswith(f"{__file__}:")


async def test_only_values_go_to_child_processes(providers: Providers) -> None:
    providers.add_value(Settings, Settings(region="south"))

    def run(days: int, settings: Settings, nobody: Nobody | None) -> None: ...

    plan = providers.resolve(run, executor="process")
    assert plan.is_ready
    assert plan.ready == {"settings": Settings(region="south"), "nobody": None}
    providers.add(Store, Store)

    def wants(store: Store) -> None: ...

    def wants_run(run: Run) -> None: ...

    for function in (wants, wants_run):
        assert not providers.resolve(function, executor="thread").is_ready
        with pytest.raises(ConfigurationError, match="current_job") as caught:
            providers.resolve(function, executor="process")
        assert caught.value.code == "injection-not-for-processes"


async def test_the_later_provider_takes_the_place_of_the_first(providers: Providers) -> None:
    providers.add(Store, lambda: Store("first"))
    providers.add(Store, lambda: Store("second"))

    def run(store: Store) -> None: ...

    assert (await _brought(providers, run))["store"].name == "second"
    assert "tests.unit.task.test_injection.Store" in providers.names


async def test_what_is_brought_and_what_is_sent_are_told_apart_together(providers: Providers) -> None:
    providers.add(Store, Store)

    def run(days: int, store: Store, mode: str = "fast", **more: int) -> None: ...

    plan = providers.resolve(run)
    parameters = Parameters.of(run, plan.names, Serializers())
    assert parameters.names == ("days", "mode")
    assert list(parameters.json_schema()["properties"]) == ["days", "mode"]


async def test_an_abstract_base_asks_for_what_implements_it(providers: Providers) -> None:
    class Port(ABC):
        @abstractmethod
        def speak(self) -> str: ...

    class Adapter(Port):
        def speak(self) -> str:
            return "hello"

    providers.add(Adapter, Adapter)

    def run(port: Port) -> None: ...

    assert type((await _brought(providers, run))["port"]) is Adapter


async def test_thirty_two_services_in_parallel_share_nothing() -> None:
    closed: list[str] = []

    def service(number: int) -> Providers:
        providers = Providers(Serializers())

        async def shared() -> AsyncGenerator[Store]:
            yield Store(f"app {number}")
            closed.append(f"app {number}")

        async def own(store: Store) -> AsyncGenerator[Chain]:
            yield Chain(store, Manager(First))
            closed.append(f"job {number}")

        providers.add(Store, shared, scope="app")
        providers.add(Chain, own)
        return providers

    def run(chain: Chain) -> None: ...

    async def use(number: int) -> None:
        providers, things = service(number), LoopThings()
        plan = providers.resolve(run)

        async def once() -> str:
            async with plan.open(Run(Services(), "test", things)) as arguments:
                await asyncio.sleep(0)
                name: str = arguments["chain"].store.name
                return name

        assert set(await asyncio.gather(*(once() for _ in range(5)))) == {f"app {number}"}
        await things.close()
        assert things.loops == 0

    before = len(asyncio.all_tasks())
    await asyncio.gather(*(use(number) for number in range(32)))
    assert sorted(closed) == sorted([f"app {n}" for n in range(32)] + [f"job {n}" for n in range(32) for _ in range(5)])
    assert len(asyncio.all_tasks()) == before

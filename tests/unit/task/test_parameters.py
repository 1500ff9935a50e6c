import dataclasses
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict, Unpack
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from chapkit.core.errors import ChapkitError, ConfigurationError, UnprocessableError
from chapkit.core.ids import ULID
from chapkit.data import DataFrame
from chapkit.task.errors import TaskParametersError
from chapkit.task.parameters import CallArguments, Parameters
from chapkit.task.serializers import Serializers


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Region(BaseModel):
    name: str
    level: Level = Level.LOW


@dataclasses.dataclass
class Span:
    start: date
    days: int = 1


class Limits(TypedDict):
    low: int
    high: NotRequired[int]


class Options(TypedDict, total=False):
    verbose: bool
    depth: Required[int]


class Station:
    def __init__(self, code: str) -> None:
        self.code = code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Station) and other.code == self.code

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def serializers() -> Serializers:
    serializers = Serializers()
    serializers.register(Station, lambda station: station.code, _station, name="station", schema={"type": "string"})
    return serializers


def _station(value: Any) -> Station:
    if not isinstance(value, str) or not value.isupper():
        raise ValueError(f"a code in capital letters expected, found {value!r}")
    return Station(value)


def _errors(parameters: Parameters, values: dict[str, Any], **options: Any) -> dict[str, dict[str, Any]]:
    with pytest.raises(TaskParametersError) as caught:
        parameters.check(values, **options)
    assert caught.value.code == "task-parameters-invalid"
    assert caught.value.kind == "unprocessable"
    return {error["field"]: error for error in caught.value.extensions["errors"]}


def test_values_become_what_the_annotations_say() -> None:
    def run(
        region: Region,
        span: Span,
        level: Level,
        when: datetime,
        day: date,
        pause: timedelta,
        folder: Path,
        price: Decimal,
        id: ULID,
        uuid: UUID,
        mode: Literal["fast", "slow"],
        either: int | list[str],
        limits: Limits,
        raw: bytes,
        pair: tuple[int, str],
        names: set[str],
        by_number: dict[int, float],
        frame: DataFrame,
        maybe: int | None,
        anything: Any,
        untyped,  # type: ignore[no-untyped-def]
    ) -> None: ...

    id = ULID()
    values: dict[str, Any] = {
        "region": {"name": "Kigali", "level": "high"},
        "span": {"start": "2024-02-29"},
        "level": "low",
        "when": "2024-02-29T12:00:00+02:00",
        "day": "2024-02-29",
        "pause": "PT90S",
        "folder": "a/b",
        "price": "1.10",
        "id": str(id),
        "uuid": "00000000-0000-0000-0000-000000000003",
        "mode": "fast",
        "either": ["a"],
        "limits": {"low": 1},
        "raw": "/+8=",
        "pair": [1, "a"],
        "names": ["a", "a"],
        "by_number": {"1": 2},
        "frame": {"columns": ["a"], "data": [[1]]},
        "maybe": None,
        "anything": [1, {"a": None}],
        "untyped": {"b": 2.5},
    }
    parameters = Parameters.of(run)
    assert parameters.check(values) == values
    found = parameters.convert(values)
    assert found == {
        "region": Region(name="Kigali", level=Level.HIGH),
        "span": Span(date(2024, 2, 29)),
        "level": Level.LOW,
        "when": datetime(2024, 2, 29, 10, tzinfo=UTC),
        "day": date(2024, 2, 29),
        "pause": timedelta(seconds=90),
        "folder": Path("a/b"),
        "price": Decimal("1.10"),
        "id": id,
        "uuid": UUID(int=3),
        "mode": "fast",
        "either": ["a"],
        "limits": {"low": 1},
        "raw": b"\xff\xef",
        "pair": (1, "a"),
        "names": {"a"},
        "by_number": {1: 2.0},
        "frame": DataFrame(columns=["a"], data=[[1]]),
        "maybe": None,
        "anything": [1, {"a": None}],
        "untyped": {"b": 2.5},
    }
    assert type(found["id"]) is ULID
    schema = parameters.json_schema()
    assert schema["required"] == list(values)
    assert schema["properties"]["raw"]["contentEncoding"] == "base64"
    json.dumps(schema)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    def run(days: Annotated[int, Field(gt=0)], span: Span, name: str = "x") -> None: ...

    values = {"days": 0, "span": {"start": "yesterday"}, "nmae": "y", "zzz": [1]}
    errors = _errors(Parameters.of(run), values, at="parameters")
    assert errors["parameters.nmae"] == {
        "loc": ["parameters", "nmae"],
        "field": "parameters.nmae",
        "msg": "There is no parameter 'nmae'; did you mean 'name'?",
        "message": "There is no parameter 'nmae'; did you mean 'name'?",
        "type": "parameter_unknown",
        "found": "'y'",
        "expected": ["days", "span", "name"],
        "did_you_mean": ["name"],
    }
    assert errors["parameters.days"]["found"] == "0"
    assert errors["parameters.days"]["expected"] == "greater than 0"
    assert errors["parameters.span.start"]["expected"] == "a valid date or datetime"
    assert errors["parameters.zzz"]["did_you_mean"] == []
    assert len(errors) == 4


def test_the_text_of_the_error_names_the_first_one() -> None:
    def run(days: int, hours: int) -> None: ...

    with pytest.raises(UnprocessableError, match=r"^days: Input should be a valid integer.* \(and 1 more\)$"):
        Parameters.of(run).check({"days": "many"})


def test_what_is_missing_is_named_with_its_type() -> None:
    def run(days: int, anything: Any, span: Span, /, frames: list[Region]) -> None: ...

    errors = _errors(Parameters.of(run), {"span": {}})
    assert {field: (error["found"], error["expected"]) for field, error in errors.items()} == {
        "days": ("nothing", "int"),
        "anything": ("nothing", "any JSON"),
        "span.start": ("nothing", "a value"),
        "frames": ("nothing", "list[tests.unit.task.test_parameters.Region]"),
    }
    assert errors["days"]["message"] == "'days' is missing"


def test_what_is_saved_may_be_incomplete_if_that_is_wanted() -> None:
    def run(days: int, hours: int) -> None: ...

    parameters = Parameters.of(run)
    assert parameters.check({"days": 1}, complete=False) == {"days": 1}
    assert parameters.check(None, complete=False) == {}
    assert list(_errors(parameters, {"days": "x"}, complete=False)) == ["days"]
    assert list(_errors(parameters, {"days": 1})) == ["hours"]


def test_what_is_injected_cannot_be_sent() -> None:
    def run(days: int, session: str, clock: str = "") -> None: ...

    parameters = Parameters.of(run, {"session", "clock"})
    assert parameters.names == ("days",)
    assert list(parameters.json_schema()["properties"]) == ["days"]
    errors = _errors(parameters, {"days": 1, "session": "mine"})
    assert errors["session"]["message"] == "'session' is brought by the service and cannot be sent; leave it out"
    # What older releases have stored still runs, and overrides nothing.
    assert parameters.convert({"days": 1, "session": "mine", "clock": "mine"}) == {"days": 1}


def test_surplus_names_go_where_the_function_wants_them() -> None:
    def run(days: int, session: str = "", **more: int) -> None: ...

    parameters = Parameters.of(run, {"session"})
    assert parameters.convert({"days": 1, "a": "2", "**": 3}) == {"days": 1, "a": 2, "**": 3}
    assert list(_errors(parameters, {"days": 1, "a": "x", "session": "s"})) == ["session", "a"]
    assert parameters.json_schema()["additionalProperties"] == {"type": "integer"}
    assert parameters.fill({"days": 1, "a": "2"}) == {"days": 1, "a": 2}

    def free(*args: int, **more: Any) -> None: ...

    assert Parameters.of(free).convert({"args": 1}) == {"args": 1}
    assert Parameters.of(free).json_schema()["additionalProperties"] is True


def test_options_of_a_typed_dict_are_parameters_each() -> None:
    def run(days: int, **options: Unpack[Options]) -> dict[str, Any]:
        return dict(options)

    parameters = Parameters.of(run)
    assert parameters.names == ("days", "verbose", "depth")
    assert parameters.convert({"days": 1, "depth": "2"}) == {"days": 1, "depth": 2}
    assert parameters.fill({"days": 1, "depth": 2}) == {"days": 1, "depth": 2}
    assert set(_errors(parameters, {"days": 1, "verbos": True})) == {"verbos", "depth"}
    schema = parameters.json_schema()
    assert schema["required"] == ["days", "depth"]
    assert "default" not in schema["properties"]["verbose"]


def test_defaults_stay_with_the_function() -> None:
    marker = object()

    def run(
        days: int = 1,
        level: Level = Level.LOW,
        odd: object = marker,
        field: int = Field(default=3, le=5),
        *,
        b: str = "b",
    ) -> Any:
        return days, level, odd, field, b

    parameters = Parameters.of(run)
    assert parameters.convert({}) == {"field": 3}
    arguments = parameters.arguments(parameters.convert({"b": "c"}))
    assert run(*arguments.by_place, **arguments.by_name) == (1, Level.LOW, marker, 3, "c")
    assert parameters.fill({}) == {"days": 1, "level": "low", "field": 3, "b": "b"}
    assert parameters.fill({"days": "1", "b": "b"}) == parameters.fill({"days": 1})
    properties = parameters.json_schema()["properties"]
    assert properties["field"]["maximum"] == 5
    assert properties["level"]["default"] == "low"
    assert "default" not in properties["odd"]
    assert list(_errors(parameters, {"field": 6})) == ["field"]


def test_names_that_pydantic_keeps_for_itself_are_free() -> None:
    def run(_hidden: int, model_config: int, schema: int, json: int, copy: int, p0: int) -> None: ...

    values = {"_hidden": 1, "model_config": 2, "schema": 3, "json": 4, "copy": 5, "p0": 6}
    parameters = Parameters.of(run)
    assert parameters.convert(values) == values
    assert list(parameters.json_schema()["properties"]) == list(values)

    def aliased(days: Annotated[int, Field(alias="d", title="Days of rain")]) -> None: ...

    assert Parameters.of(aliased).convert({"days": 1}) == {"days": 1}
    assert Parameters.of(aliased).json_schema()["properties"]["days"]["title"] == "Days of rain"


def test_each_kind_of_parameter_is_passed_as_the_function_wants_it() -> None:
    def run(a: int, b: int = 2, /, c: int = 3, *rest: int, d: int, e: int = 5, **more: int) -> Any:
        return a, b, c, rest, d, e, more

    parameters = Parameters.of(run)
    arguments = parameters.arguments(parameters.convert({"a": 1, "d": 4, "f": 6}))
    assert arguments == CallArguments([1, 2], {"d": 4, "f": 6})
    assert run(*arguments.by_place, **arguments.by_name) == (1, 2, 3, (), 4, 5, {"f": 6})
    arguments = parameters.arguments({"a": 1, "b": 7, "c": 8, "d": 4})
    assert run(*arguments.by_place, **arguments.by_name) == (1, 7, 8, (), 4, 5, {})
    # What is missing is the function's to complain about.
    assert parameters.arguments({"b": 1}) == CallArguments([], {"b": 1})


def test_partials_and_objects_have_the_parameters_that_are_left() -> None:
    def run(a: int, b: int, c: int = 3) -> None: ...

    class Runner:
        def __call__(self, days: int) -> None: ...

    assert Parameters.of(partial(run, 1)).names == ("b", "c")
    assert Parameters.of(partial(run, b=1)).names == ("a", "b", "c")
    assert Parameters.of(partial(run, b=1)).convert({"a": "1"}) == {"a": 1}
    assert Parameters.of(Runner()).convert({"days": "1"}) == {"days": 1}
    assert Parameters.of(Runner().__call__).names == ("days",)


def test_types_of_users_come_by_their_serializers(serializers: Serializers) -> None:
    class Trip(TypedDict):
        stops: list[Station]

    def run(
        start: Station, by_name: dict[str, Station | None], trip: Trip, end: Annotated[Station, "last"] = Station("Z")
    ) -> None: ...

    parameters = Parameters.of(run, serializers=serializers)
    values = {"start": "A", "by_name": {"x": "B", "y": None}, "trip": {"stops": ["C"]}}
    assert parameters.convert(values) == {
        "start": Station("A"),
        "by_name": {"x": Station("B"), "y": None},
        "trip": {"stops": [Station("C")]},
    }
    assert parameters.fill(values) == {**values, "end": "Z"}
    # Values of programs are welcome, too.
    assert parameters.check({**values, "start": Station("A")}) == values
    errors = _errors(parameters, {**values, "start": "a"})
    assert errors["start"]["expected"] == "station"
    assert "a code in capital letters expected, found 'a'" in errors["start"]["message"]
    assert parameters.json_schema()["properties"]["start"] == {"type": "string", "title": "Start"}


def test_numbers_that_json_does_not_have_are_refused_by_their_name() -> None:
    def run(rates: list[float]) -> None: ...

    with pytest.raises(ChapkitError) as caught:
        Parameters.of(run).check({"rates": [1.0, float("nan")]}, at="parameters")
    assert (caught.value.code, caught.value.extensions["field"]) == ("number-not-finite", "parameters.rates.1")


def test_long_values_are_shortened_in_errors() -> None:
    def run(days: int) -> None: ...

    errors = _errors(Parameters.of(run), {"days": [["x" * 1000] * 10] * 50})
    assert len(errors["days"]["found"]) <= 200


def test_an_annotation_that_cannot_be_resolved_is_told_with_its_place() -> None:
    def run(days: "Unheard") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigurationError, match=r"'days'.*name 'Unheard' is not defined") as caught:
        Parameters.of(run)
    assert caught.value.code == "task-annotation-unresolved"
    assert caught.value.extensions["place"] == f"{__file__}:{run.__code__.co_firstlineno}"

    def odd(days: "1 +") -> None: ...  # type: ignore[syntax]  # noqa: F722

    with pytest.raises(ConfigurationError, match="cannot be resolved"):
        Parameters.of(odd)


def test_annotations_in_quotes_are_resolved() -> None:
    def run(region: "Region", days: "int | None" = None) -> None: ...

    assert Parameters.of(run).convert({"region": {"name": "a"}}) == {"region": Region(name="a")}


def test_a_type_that_no_json_fits_is_told_with_its_place() -> None:
    def run(stations: list[Station]) -> None: ...

    with pytest.raises(
        ConfigurationError, match=r"parameter 'stations'.*list\[.*Station\].*register_serializer"
    ) as caught:
        Parameters.of(run, serializers=Serializers())
    assert caught.value.code == "task-parameter-type-unknown"
    assert "arbitrary_types_allowed" not in caught.value.detail
    assert caught.value.extensions["place"].startswith(f"{__file__}:")


def test_a_constraint_that_does_not_fit_its_type_is_told() -> None:
    def run(days: int, name: Annotated[str, Field(pattern="(")]) -> None: ...

    with pytest.raises(ConfigurationError, match="parameter 'name'") as caught:
        Parameters.of(run)
    assert caught.value.code == "task-parameter-type-unknown"


def test_what_is_no_type_at_all_is_told() -> None:
    def run(days: [int]) -> None: ...  # type: ignore[valid-type]

    with pytest.raises(ConfigurationError, match="parameter 'days'") as caught:
        Parameters.of(run)
    assert caught.value.code == "task-parameter-type-unknown"


def test_what_pydantic_says_is_passed_on_as_it_is() -> None:
    def run(name: Annotated[str, Field(pattern="^a")]) -> None: ...

    assert _errors(Parameters.of(run), {"name": "b"})["name"]["expected"] == "String should match pattern '^a'"


class Annotated314:
    """Its annotations cannot be looked at, as those of a function from Python 3.14 on."""

    @property
    def __signature__(self) -> Any:
        raise NameError("name 'Unheard' is not defined")

    def __call__(self) -> None: ...


def test_parameters_that_cannot_be_read_are_told() -> None:
    with pytest.raises(ConfigurationError, match=r"a parameter of .* cannot be resolved: name 'Unheard'") as caught:
        Parameters.of(Annotated314())
    assert caught.value.code == "task-annotation-unresolved"

    def endless() -> None: ...

    endless.__wrapped__ = endless  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError) as caught:
        Parameters.of(endless)
    assert caught.value.code == "task-signature-invalid"
    with pytest.raises(ConfigurationError, match=r"builtins.max.*write a function around it") as caught:
        Parameters.of(max)
    assert caught.value.code == "task-signature-invalid"


_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(value=_plain)
def test_any_json_passes_unannotated_parameters_unchanged(value: Any) -> None:
    def run(value, other=None):  # type: ignore[no-untyped-def]
        """Untyped on purpose."""

    parameters = Parameters.of(run, serializers=Serializers())
    assert parameters.check({"value": value}) == {"value": value}
    assert parameters.convert({"value": value}) == {"value": value}
    assert parameters.fill({"value": value}) == {"value": value, "other": None}

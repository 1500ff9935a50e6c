import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Optional

import pandas
import pyarrow
import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.data import DataFrame, FrameConverters
from chapkit.data.signature import PREDICT_PARAMETERS, TRAIN_PARAMETERS
from chapkit.ml.signature import BoundFunction, bind_function
from tests.unit.ml import later

FRAME = DataFrame(columns=["a"], data=[[1.0]])
VALUES = {"config": "config", "data": FRAME, "geo": "geo", "model": "model", "historic": FRAME, "future": FRAME}
EMPTY = inspect.Parameter.empty


class Unknown:
    pass


class Trainer:
    def method(self, config: Any, data: DataFrame, geo: Any = None) -> None: ...

    def __call__(self, config: Any, data: DataFrame) -> None: ...

    @classmethod
    def of_class(cls, config: Any, data: DataFrame) -> None: ...

    @staticmethod
    def without_self(config: Any, data: DataFrame) -> None: ...


def plain(config, data): ...  # type: ignore[no-untyped-def]
async def coroutine(config: Any, data: DataFrame, geo: Any = None) -> None: ...
def optional(config: Any, data: Optional[DataFrame], geo: Any) -> None: ...  # noqa: UP045
def annotated(config: Any, data: Annotated[DataFrame, "of cases"]) -> None: ...
def other_names(options: Any, cases: DataFrame, places: Any = None) -> None: ...
def other_order(data: DataFrame, config: Any) -> None: ...
def by_name(*, config: Any, data: DataFrame, geo: Any = None) -> None: ...
def geo_by_name(config: Any, data: DataFrame, *, geo: Any = None) -> None: ...
def anything(*args: Any, **kwargs: Any) -> None: ...
def any_name(**kwargs: Any) -> None: ...
def some_and_any(config: Any, **kwargs: Any) -> None: ...
def with_default(config: Any, data: DataFrame, geo: Any = None, verbose: bool = False) -> None: ...
def configured(alpha: float, config: Any, data: DataFrame, geo: Any = None) -> None: ...
def configured_by_name(config: Any, data: DataFrame, alpha: float, geo: Any = None) -> None: ...


@functools.wraps(coroutine)
def wrapped(*args: Any, **kwargs: Any) -> Any: ...


def bind(function: Callable[..., Any], expected: tuple[str, ...] = TRAIN_PARAMETERS) -> BoundFunction:
    return bind_function(function, expected, FrameConverters())


@pytest.mark.parametrize(
    ("function", "by_place", "by_name"),
    [
        (plain, ["config", pandas.DataFrame], {}),
        (coroutine, ["config", DataFrame, "geo"], {}),
        (optional, ["config", DataFrame, "geo"], {}),
        (annotated, ["config", DataFrame], {}),
        (other_names, ["config", DataFrame, "geo"], {}),
        (other_order, [DataFrame, "config"], {}),
        (by_name, [], {"config": "config", "data": DataFrame, "geo": "geo"}),
        (geo_by_name, ["config", DataFrame], {"geo": "geo"}),
        (anything, ["config", pandas.DataFrame, "geo"], {}),
        (any_name, [], {"config": "config", "data": pandas.DataFrame, "geo": "geo"}),
        (some_and_any, ["config"], {"data": pandas.DataFrame, "geo": "geo"}),
        (with_default, ["config", DataFrame, "geo"], {}),
        (Trainer().method, ["config", DataFrame, "geo"], {}),
        (Trainer(), ["config", DataFrame], {}),
        (Trainer.of_class, ["config", DataFrame], {}),
        (Trainer.without_self, ["config", DataFrame], {}),
        (functools.partial(configured, 0.5), ["config", DataFrame, "geo"], {}),
        (functools.partial(configured_by_name, alpha=0.5), ["config", DataFrame], {"geo": "geo"}),
        (wrapped, ["config", DataFrame, "geo"], {}),
        (later.train, ["config", pyarrow.Table, "geo"], {}),
        (lambda c, d: None, ["config", pandas.DataFrame], {}),
    ],
)
def test_a_function_is_called_with_what_its_parameters_name(
    function: Callable[..., Any], by_place: list[Any], by_name: dict[str, Any]
) -> None:
    found = bind(function).arguments(VALUES, FrameConverters())
    assert [_kind(value) for value in found.by_place] == by_place
    assert {name: _kind(value) for name, value in found.by_name.items()} == by_name
    inspect.signature(function).bind(*found.by_place, **found.by_name)


def test_a_prediction_may_do_without_polygons_and_mix_types() -> None:
    found = bind(later.predict, PREDICT_PARAMETERS).arguments(VALUES, FrameConverters())
    assert [_kind(value) for value in found.by_place] == ["config", "model", DataFrame, pandas.DataFrame]


def too_few(config: Any) -> None: ...
def too_many(config: Any, data: Any, geo: Any, more: Any) -> None: ...
def one_more_by_name(config: Any, data: Any, *, alpha: float) -> None: ...
def without_data(config: Any, geo: Any = None) -> None: ...
def nothing_at_all() -> None: ...


@pytest.mark.parametrize("function", [too_few, too_many, one_more_by_name, without_data, nothing_at_all])
def test_a_function_that_cannot_be_called_is_named(function: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match=function.__name__) as caught:
        bind(function)
    assert caught.value.code == "runner-signature-invalid"
    assert caught.value.extensions["expected"] == list(TRAIN_PARAMETERS)
    assert caught.value.extensions["function"].endswith(function.__name__)


def swapped_among_others(data: Any, config: Any, places: Any) -> None: ...
def swapped_and_anything(data: Any, config: Any, *more: Any) -> None: ...
def behind_another(config: Any, data: Any, verbose: bool = False, geo: Any = None) -> None: ...


@pytest.mark.parametrize("function", [swapped_among_others, swapped_and_anything, behind_another])
def test_a_known_name_at_the_place_of_another_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"must take \(config, data, geo\).*found \(") as caught:
        bind(function)
    assert caught.value.code == "runner-signature-invalid"


@pytest.mark.parametrize("thing", [None, "train", 3])
def test_something_that_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(ConfigurationError, match="not callable"):
        bind(thing)


def test_a_builtin_without_a_readable_signature_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        bind(dict)
    assert caught.value.code == "runner-signature-invalid"


def unknown_type(config: Any, data: Unknown) -> None: ...
def two_types(config: Any, data: pandas.DataFrame | DataFrame) -> None: ...


@pytest.mark.parametrize("function", [unknown_type, two_types])
def test_a_type_that_data_cannot_become_is_refused_with_function_and_parameter(function: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"'data' of .*{function.__name__}") as caught:
        bind(function)
    assert caught.value.code == "frame-type-unknown"
    assert "pandas.DataFrame" in caught.value.extensions["expected"]


def test_an_annotation_that_cannot_be_resolved_is_refused_with_function_and_parameter() -> None:
    with pytest.raises(ConfigurationError, match=r"'data' of .*train_for_the_checker_only") as caught:
        bind(later.train_for_the_checker_only)
    assert caught.value.code == "runner-annotation-unresolved"


def _kind(value: Any) -> Any:
    return value if isinstance(value, str) else type(value)

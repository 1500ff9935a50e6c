"""What users may hand over as a model, and in which form it gets its data."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas
import polars
import pyarrow
import pytest
from geojson_pydantic import Feature, FeatureCollection

from chapkit.api import MLServiceBuilder
from chapkit.config.schemas import BaseConfig
from chapkit.core.errors import ConfigurationError
from chapkit.data import DataFrame
from chapkit.ml import BaseModelRunner
from tests.service.ml_calls import FUTURE, POLYGONS, TRAINING, MLCalls, builder, column, echo, service
from tests.serving import serving

pytestmark = pytest.mark.anyio


@dataclass
class Records:
    """A type of the user's own."""

    rows: list[dict[str, Any]]


def unannotated(config, data): ...  # type: ignore[no-untyped-def]
def as_pandas(config: BaseConfig, data: pandas.DataFrame) -> None: ...
def as_frame(config: BaseConfig, data: DataFrame) -> None: ...
def as_table(config: BaseConfig, data: pyarrow.Table) -> None: ...
def as_polars(config: BaseConfig, data: polars.DataFrame) -> None: ...
def as_records(config: BaseConfig, data: Records) -> None: ...


def telling(function: Callable[..., Any], seen: list[str]) -> Callable[..., Any]:
    """Return a function of the same signature that notes the type of its data."""

    @functools.wraps(function)
    def train(config: Any, data: Any) -> None:
        seen.append(f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}")

    return train


def with_records(made: MLServiceBuilder) -> MLServiceBuilder:
    return made.with_frame_type(
        Records, lambda frame: Records(frame.to_records()), lambda records: DataFrame.from_records(records.rows)
    )


def give_pandas(config: Any, model: Any, historic: Any, future: pandas.DataFrame) -> Any:
    return future.assign(sample_0=2.5)


async def give_frame(config: Any, model: Any, historic: DataFrame, future: DataFrame) -> DataFrame:
    return DataFrame(columns=[*future.columns, "sample_0"], data=[[*row, 2.5] for row in future.data])


def give_table(config: Any, model: Any, historic: Any, future: pyarrow.Table) -> Any:
    return future.append_column("sample_0", [[2.5] * len(future)])


def give_polars(config: Any, model: Any, historic: Any, future: polars.DataFrame) -> Any:
    return future.with_columns(sample_0=2.5)


def give_records(config: Any, model: Any, historic: Any, future: Records) -> Any:
    return Records([{**row, "sample_0": 2.5} for row in future.rows])


def give_list(config: Any, model: Any, historic: Any, future: DataFrame) -> Any:
    return [{**row, "sample_0": 2.5} for row in future.to_records()]


def give_plain(config: Any, model: Any, historic: Any, future: DataFrame) -> Any:
    return {"columns": [*future.columns, "sample_0"], "data": [[*row, 2.5] for row in future.data]}


@pytest.mark.parametrize(
    ("train", "kind", "predict"),
    [
        (unannotated, "pandas.DataFrame", give_pandas),
        (as_pandas, "pandas.DataFrame", give_list),
        (as_frame, "chapkit.DataFrame", give_frame),
        (as_frame, "chapkit.DataFrame", give_plain),
        (as_table, "pyarrow.Table", give_table),
        (as_polars, "polars.DataFrame", give_polars),
        (as_records, "tests.Records", give_records),
    ],
)
async def test_data_arrive_as_what_a_function_names_and_predictions_are_frames_of_any_kind(
    train: Callable[..., Any], kind: str, predict: Callable[..., Any]
) -> None:
    seen: list[str] = []
    async with serving(with_records(builder(telling(train, seen), predict)).build()) as client:
        calls = MLCalls(client)
        artifact = await calls.predicted(await calls.trained())
        assert seen == [kind]
        assert column(artifact, "sample_0") == [2.5] * 4
        assert artifact["data"]["content"]["columns"] == [*FUTURE["columns"], "sample_0"]
        assert [row[:5] for row in artifact["data"]["content"]["data"]] == FUTURE["data"]


class Seen:
    """A model that keeps what its functions were called with."""

    def __init__(self) -> None:
        self.trained: tuple[Any, ...] = ()
        self.predicted: tuple[Any, ...] = ()

    async def train(self, config: BaseConfig, data: DataFrame, geo: FeatureCollection[Any] | None = None) -> Any:
        self.trained = (config, data, geo)

    def predict(self, config: Any, model: Any, historic: DataFrame, future: DataFrame, geo: Any = None) -> Any:
        self.predicted = (config, model, historic, future, geo)
        return future.to_pandas().assign(sample_0=1.0)


class Options(BaseConfig):
    alpha: float = 0.5


async def test_functions_get_configuration_frames_and_polygons() -> None:
    seen = Seen()
    async with serving(service(seen.train, seen.predict, config=Options)) as client:
        calls = MLCalls(client)
        config_id = await calls.config(alpha=2, free="text")
        model = await calls.trained(config_id, geo=POLYGONS, run_info={"prediction_periods": 4})
        config, data, geo = seen.trained
        assert isinstance(config, Options)
        assert (config.alpha, config.prediction_periods, config.model_extra) == (2.0, 4, {"free": "text"})
        assert data == DataFrame(**TRAINING)
        assert isinstance(geo, FeatureCollection)
        assert isinstance(geo.features[1], Feature)
        assert geo.features[1].id == "Bokeo (north) é"
        await calls.predicted(model, geo=POLYGONS)
        config, _, historic, future, geo = seen.predicted
        assert config.prediction_periods == 3
        assert (historic, future) == (DataFrame(**TRAINING), DataFrame(**FUTURE))
        assert isinstance(geo, FeatureCollection)


@pytest.mark.parametrize("historic", [{}, {"historic": None}, {"historic": {"columns": [], "data": []}}])
async def test_a_prediction_needs_nothing_that_was_seen_before(historic: dict[str, Any]) -> None:
    seen = Seen()
    async with serving(service(seen.train, seen.predict)) as client:
        calls = MLCalls(client)
        body = {"artifact_id": await calls.trained(), "future": FUTURE, **historic}
        assert (await calls.finished(await calls.post("$predict", body)))["status"] == "completed"
        assert seen.predicted[2].data == []


@pytest.mark.parametrize("spelling", ["prediction_periods", "prediction_length"])
async def test_what_a_run_says_goes_before_the_configuration(spelling: str) -> None:
    seen = Seen()
    async with serving(service(seen.train, seen.predict)) as client:
        calls = MLCalls(client)
        model = await calls.trained(await calls.config(prediction_periods=7))
        assert seen.trained[0].prediction_periods == 7
        await calls.predicted(model, run_info={spelling: 2, "future_covariate_origin": "x", "of_tomorrow": {}})
        assert seen.predicted[0].prediction_periods == 2
        await calls.predicted(model)
        assert seen.predicted[0].prediction_periods == 7


async def test_a_changed_configuration_is_used_from_then_on() -> None:
    seen = Seen()
    async with serving(service(seen.train, seen.predict, config=Options)) as client:
        calls = MLCalls(client)
        config = await calls.config(alpha=1)
        model = await calls.trained(config)
        await client.patch(f"/api/v1/configs/{config}", json={"data": {"alpha": 3}})
        await calls.predicted(model)
        assert seen.predicted[0].alpha == 3.0


class Counting(BaseModelRunner[Options]):
    """A runner with a state of its own."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def on_init(self) -> None:
        self.events.append("init")

    def on_cleanup(self) -> None:  # type: ignore[override]
        self.events.append("cleanup")

    async def on_train(self, config: Options, data: Any, geo: Any = None) -> Any:
        self.events.append("train")
        return {("a", 1): config.alpha}

    async def on_predict(self, config: Options, model: Any, historic: Any, future: Any, geo: Any = None) -> Any:
        self.events.append("predict")
        return future.assign(sample_0=model[("a", 1)])


async def test_a_runner_of_its_own_class_is_prepared_and_cleaned_up_once() -> None:
    runner = Counting()
    app = service(runner=runner, config=Options)
    assert runner.events == []
    async with serving(app) as client:
        calls = MLCalls(client)
        model = await calls.trained(await calls.config(alpha=4))
        assert column(await calls.predicted(model), "sample_0") == [4.0] * 4
    assert runner.events == ["init", "train", "predict", "cleanup"]


def scaled(factor: float, config: Any, model: Any, historic: Any, future: Any) -> Any:
    return future.assign(sample_0=factor)


async def test_a_partial_function_is_called() -> None:
    async with serving(service(predict=functools.partial(scaled, 3.0))) as client:
        calls = MLCalls(client)
        assert column(await calls.predicted(await calls.trained()), "sample_0") == [3.0] * 4


def wants_numbers(config: Any, data: int) -> None: ...


@pytest.mark.parametrize(
    ("train", "predict", "name"),
    [
        (wants_numbers, echo, "wants_numbers"),
        (echo, echo, "echo"),
        (as_frame, as_frame, "as_frame"),
        (None, functools.partial(echo, 1, 2), "echo"),
    ],
)
def test_a_function_that_does_not_fit_keeps_the_service_from_being_built(train: Any, predict: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        service(train, predict)


def test_a_type_of_ones_own_needs_a_runner_first() -> None:
    with pytest.raises(ConfigurationError, match="as_records"):
        service(as_records)
    with_records(builder(as_records)).build()

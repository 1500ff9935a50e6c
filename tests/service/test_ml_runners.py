import importlib
from collections.abc import Callable
from typing import Any, Literal

import httpx
import pandas
import pytest
from fastapi import FastAPI

from chapkit import ArtifactHierarchy, BaseConfig, FunctionalModelRunner
from chapkit.api import MLServiceBuilder, MLServiceInfo, ModelMetadata, ServiceBuilder
from chapkit.core.errors import ConfigurationError
from chapkit.job import JobTargets
from chapkit.job.policies import Retry
from chapkit.job.ports import JobHandlers
from chapkit.ml import predict, train
from chapkit.task.errors import TaskFunctionUnknownError
from chapkit.task.registry import Registry, TaskRegistry
from tests.serving import serving

pytestmark = pytest.mark.anyio
INFO = MLServiceInfo(id="two", display_name="Two", model_metadata=ModelMetadata(), period_type="weekly")
FRAME = {"columns": ["week", "cases"], "data": [["2026W01", 12], ["2026W02", 16]]}


def mean(config: Any, data: pandas.DataFrame) -> float:
    return float(data["cases"].mean())


def largest(config: Any, data: pandas.DataFrame) -> float:
    return float(data["cases"].max())


def constant(config: Any, model: Any, historic: Any, future: pandas.DataFrame) -> pandas.DataFrame:
    return future.assign(sample_0=model)


def _service() -> FastAPI:
    builder = MLServiceBuilder(
        info=INFO,
        config_schema=BaseConfig,
        hierarchy=ArtifactHierarchy("two"),
        runner=FunctionalModelRunner(mean, constant),
        include_logging=False,
    )
    return builder.with_ml(FunctionalModelRunner(largest, constant), name="largest", timeout=60).build()


async def _train(client: httpx.AsyncClient, path: str, config: str) -> str:
    body = {"config_id": config, "data": FRAME}
    response = await client.post(path, json=body, headers={"Prefer": "wait=30"})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


async def _config(client: httpx.AsyncClient) -> str:
    return str((await client.post("/api/v1/configs", json={"name": "weekly", "data": {}})).json()["id"])


async def test_each_runner_has_its_own_paths_and_models() -> None:
    async with serving(_service()) as client:
        config = await _config(client)
        first = await _train(client, "/api/v1/ml/$train", config)
        second = await _train(client, "/api/v1/ml/largest/$train", config)
        future = {"columns": ["week"], "data": [["2026W03"]]}
        for path, model, expected in (("ml", first, 14.0), ("ml/largest", second, 16.0)):
            answer = await client.post(
                f"/api/v1/{path}/$predict",
                json={"artifact_id": model, "future": future},
                headers={"Prefer": "wait=30"},
            )
            assert answer.json()["data"]["content"]["data"] == [["2026W03", expected]]
        wrong = await client.post("/api/v1/ml/$predict", json={"artifact_id": second, "future": future})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "model-of-another-runner")


async def test_the_runners_are_listed_with_what_they_take() -> None:
    async with serving(_service()) as client:
        default, other = (await client.get("/api/v1/ml")).json()
        assert (default["name"], default["is_default"], default["train"]) == (None, True, "/api/v1/ml/$train")
        assert (other["name"], other["is_default"], other["predict"]) == (
            "largest",
            False,
            "/api/v1/ml/largest/$predict",
        )
        assert other["config_schema"]["title"] == "BaseConfig"
        assert other["takes_geo"] is False
        assert other["train_function"].endswith("largest")


async def test_the_first_named_runner_answers_without_its_name_too() -> None:
    builder = ServiceBuilder(info=INFO).with_config(BaseConfig).with_jobs()
    builder.with_artifacts(hierarchy=ArtifactHierarchy("two"))
    app = builder.with_ml(FunctionalModelRunner(mean, constant), name="mean").build()
    async with serving(app) as client:
        config = await _config(client)
        model = await _train(client, "/api/v1/ml/$train", config)
        again = await _train(client, "/api/v1/ml/mean/$train", config)
        assert model != again


async def test_a_training_can_be_submitted_by_name_with_the_body_of_its_route() -> None:
    async with serving(app := _service()) as client:
        config = await _config(client)
        services = app.state.services
        targets = services.get(JobTargets)
        assert targets.names == ["ml.predict", "ml.predict:largest", "ml.train", "ml.train:largest"]
        async with services.scope.write() as scope:
            spec = await targets.get("ml.train:largest").spec(scope, {"config_id": config, "data": FRAME})
        assert (spec.handler, spec.labels["kind"], spec.labels["runner"]) == ("ml.train:largest", "train", "largest")
        async with services.scope.read() as scope:
            with pytest.raises(Exception, match="data: Field required") as refused:
                await targets.get("ml.train").spec(scope, {"config_id": config})
        assert getattr(refused.value, "code", None) == "target-arguments-invalid"


async def test_what_was_said_of_the_functions_holds_for_their_jobs() -> None:
    registry = Registry()
    registry.register_function("mean", mean, type="ml_train", retry=Retry(attempts=3), timeout=5.0, queue="slow")
    registry.register_function("mean", constant, type="ml_predict", executor="process")
    runner = FunctionalModelRunner.from_registry("mean", registry)
    assert runner.executor == "process"
    builder = ServiceBuilder(info=INFO).with_config(BaseConfig).with_jobs(queues={"slow": 1})
    app = builder.with_artifacts(hierarchy=ArtifactHierarchy("two")).with_ml(runner, timeout=9.0).build()
    handlers = app.state.services.get(JobHandlers)
    trains, predicts = handlers.get("ml.train"), handlers.get("ml.predict")
    assert (trains.retry, trains.timeout, trains.executor) == (Retry(attempts=3), 5.0, "process")
    assert (predicts.retry, predicts.timeout) == (None, 9.0)


@pytest.mark.parametrize(
    ("trains", "predicts", "expected"),
    [
        ("thread", None, (None, None)),
        ("thread", "process", (None, "process")),
        ("process", "thread", ("process", None)),
        (None, "process", ("process", "process")),
    ],
)
async def test_each_function_runs_where_it_was_said_to(
    trains: Literal["thread", "process"] | None, predicts: Literal["thread", "process"] | None, expected: Any
) -> None:
    registry = Registry()
    registry.register_function("mean", mean, type="ml_train", executor=trains)
    registry.register_function("mean", constant, type="ml_predict", executor=predicts)
    builder = ServiceBuilder(info=INFO).with_config(BaseConfig).with_jobs()
    builder.with_artifacts(hierarchy=ArtifactHierarchy("two"))
    app = builder.with_ml(FunctionalModelRunner.from_registry("mean", registry)).build()
    handlers = app.state.services.get(JobHandlers)
    assert (handlers.get("ml.train").executor, handlers.get("ml.predict").executor) == expected


def test_only_a_function_that_runs_in_a_child_has_to_be_importable() -> None:
    registry = Registry()
    registry.register_function("mean", lambda config, data: 1, type="ml_train", executor="thread")
    registry.register_function("mean", constant, type="ml_predict", executor="process")
    builder = ServiceBuilder(info=INFO).with_config(BaseConfig).with_jobs()
    builder.with_artifacts(hierarchy=ArtifactHierarchy("two"))
    builder.with_ml(FunctionalModelRunner.from_registry("mean", registry)).build()


@pytest.mark.parametrize(("decorator", "expected"), [(train, "config, data, geo"), (predict, "config, model")])
def test_a_function_with_other_parameters_is_refused_when_it_is_decorated(
    decorator: Callable[..., Any], expected: str
) -> None:
    def wrong(data: Any) -> None:
        raise AssertionError(data)

    with pytest.raises(ConfigurationError, match=expected) as refused:
        decorator("tests-wrong")(wrong)
    assert refused.value.code == "runner-signature-invalid"
    assert "found (data: Any)" in refused.value.detail
    assert "tests-wrong" not in TaskRegistry.list_all("ml_train")


@pytest.mark.parametrize(
    ("type", "function", "missing", "decorator"),
    [("ml_train", mean, "predicts", "@predict"), ("ml_predict", constant, "trains", "@train")],
)
def test_a_runner_with_one_half_says_which_one_is_missing(
    type: str, function: Callable[..., Any], missing: str, decorator: str
) -> None:
    registry = Registry()
    registry.register_function("lonely", function, type=type)
    with pytest.raises(TaskFunctionUnknownError) as caught:
        FunctionalModelRunner.from_registry("lonely", registry)
    assert caught.value.code == "task-function-unknown"
    assert f"no function that {missing}" in caught.value.detail
    assert f'{decorator}("lonely")' in caught.value.detail
    assert f"{function.__module__}.{function.__qualname__}" in caught.value.detail


def test_a_runner_that_is_not_registered_at_all_is_answered_with_the_nearest() -> None:
    registry = Registry()
    registry.register_function("climate/mean", mean, type="ml_train")
    registry.register_function("climate/mean", constant, type="ml_predict")
    with pytest.raises(TaskFunctionUnknownError) as caught:
        FunctionalModelRunner.from_registry("climate/maen", registry)
    assert "did you mean 'climate/mean'?" in str(caught.value)
    assert '@train("climate/maen") and @predict("climate/maen")' in str(caught.value)


def test_two_runners_of_one_name_are_refused() -> None:
    builder = ServiceBuilder(info=INFO).with_ml(FunctionalModelRunner(mean, constant), name="a")
    with pytest.raises(ConfigurationError, match=r"'a'.*another name") as refused:
        builder.with_ml(FunctionalModelRunner(largest, constant), name="a")
    assert refused.value.code == "runner-duplicate"


def test_a_second_runner_without_a_name_is_refused() -> None:
    builder = ServiceBuilder(info=INFO).with_ml(FunctionalModelRunner(mean, constant))
    with pytest.raises(ConfigurationError, match=r"without a name.*with_ml\(\.\.\., name=") as refused:
        builder.with_ml(FunctionalModelRunner(largest, constant))
    assert refused.value.code == "runner-duplicate"


async def test_the_same_runner_may_be_named_again_with_other_options() -> None:
    runner = FunctionalModelRunner(mean, constant)
    builder = MLServiceBuilder(
        info=INFO,
        config_schema=BaseConfig,
        hierarchy=ArtifactHierarchy("two"),
        runner=runner,
        include_logging=False,
    )
    app = builder.with_ml(runner, timeout=5.0).with_ml(FunctionalModelRunner(mean, constant), timeout=9.0).build()
    assert app.state.services.get(JobHandlers).get("ml.train").timeout == 9.0


@pytest.mark.parametrize("name", ["", "a b/é", "$train", ".", "-a", "x" * 65, "a\n", 3])
def test_a_name_that_no_path_can_hold_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="1 to 64 characters") as refused:
        ServiceBuilder(info=INFO).with_ml(FunctionalModelRunner(mean, constant), name=name)
    assert refused.value.code == "runner-name-invalid"


@pytest.mark.parametrize("name", ["a", "0", "Ewars-2.1_b", "x" * 64])
def test_letters_digits_dots_dashes_and_underscores_are_a_name(name: str) -> None:
    ServiceBuilder(info=INFO).with_ml(FunctionalModelRunner(mean, constant), name=name)


@pytest.mark.parametrize(("decorator", "type"), [(train, "ml_predict"), (predict, "task")])
def test_a_decorator_says_itself_what_its_function_is_for(decorator: Callable[..., Any], type: str) -> None:
    with pytest.raises(ConfigurationError, match=f"leave out type='{type}'") as refused:
        decorator("tests-typed", type=type)
    assert (refused.value.code, refused.value.extensions["field"]) == ("task-options-invalid", "type")


def test_configurations_that_are_not_there_are_named() -> None:
    builder = ServiceBuilder(info=INFO).with_config(BaseConfig).with_jobs()
    builder.with_artifacts(hierarchy=ArtifactHierarchy("two"))
    builder.with_ml(FunctionalModelRunner(mean, constant), config="other")
    with pytest.raises(ConfigurationError, match="other") as refused:
        builder.build()
    assert refused.value.code == "runner-config-unknown"


async def test_a_whole_service_is_twelve_lines_of_the_user() -> None:
    example = importlib.import_module("examples.ml_decorators")
    with open(str(example.__file__), encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if line.strip() and not line.startswith(('"""', "#"))]
    assert len([line for line in lines if not line.startswith(("from ", "import "))]) <= 12
    async with serving(example.app) as client:
        config = await _config(client)
        assert await _train(client, "/api/v1/ml/$train", config)

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from chapkit.api import CrudPermissions, MLServiceBuilder, ServiceBuilder, ServiceInfo
from chapkit.artifact import ArtifactHierarchy
from chapkit.config.schemas import BaseConfig
from chapkit.core.errors import ConfigurationError
from chapkit.core.sqlite import SqliteDatabase
from chapkit.data import DataFrame
from chapkit.ml import FunctionalModelRunner
from tests.service.chap_service import HIERARCHY, INFO
from tests.things import Thing

RUNNER = FunctionalModelRunner[BaseConfig](lambda config, data: None, lambda config, model, historic, future: future)
TREE = ArtifactHierarchy(name="a")


def builder(**options: Any) -> ServiceBuilder:
    return ServiceBuilder(info=ServiceInfo(display_name="A service"), **options)


def methods(app: FastAPI, path: str) -> set[str]:
    return {method.upper() for method in app.openapi()["paths"].get(path, {})}


def test_every_method_returns_the_builder() -> None:
    made = builder()
    assert made.with_health() is made.with_system() is made.with_logging(False) is made.with_jobs() is made
    assert made.with_config(BaseConfig) is made.with_artifacts(hierarchy=TREE) is made.with_ml(RUNNER) is made
    assert made.with_database(None) is made.with_entities(Thing) is made.with_body_limit(10) is made


@pytest.mark.parametrize(
    ("made", "call"),
    [
        (builder().with_ml(RUNNER), r"with_config\(...\)"),
        (builder().with_config(BaseConfig).with_ml(RUNNER), r"with_artifacts\(...\)"),
        (builder().with_config(BaseConfig).with_artifacts(hierarchy=TREE).with_ml(RUNNER), r"with_jobs\(\)"),
        (builder().with_artifacts(hierarchy=TREE, enable_config_linking=True), r"with_config\(...\)"),
    ],
)
def test_what_is_missing_is_named_by_the_call_that_adds_it(made: ServiceBuilder, call: str) -> None:
    with pytest.raises(ConfigurationError, match=call) as caught:
        made.build()
    assert caught.value.code == "feature-missing"


def test_a_type_of_data_needs_a_model() -> None:
    with pytest.raises(ConfigurationError, match="with_ml"):
        builder().with_frame_type(dict, DataFrame.to_dict, DataFrame.from_dict)


def test_the_order_of_the_calls_does_not_matter() -> None:
    made = builder().with_ml(RUNNER).with_jobs().with_artifacts(hierarchy=TREE).with_config(BaseConfig)
    paths = made.build().openapi()["paths"].keys()
    assert {"/api/v1/ml/$train", "/api/v1/configs/{entity_id}/$artifacts", "/api/v1/jobs"} <= paths


def test_a_call_replaces_the_one_before() -> None:
    made = builder().with_health(prefix="/a").with_health(prefix="/b").with_config(BaseConfig, prefix="/x")
    paths = made.with_config(BaseConfig, prefix="/y").build().openapi()["paths"].keys()
    assert {"/b", "/y"} <= paths
    assert not {"/a", "/x"} & paths


def test_prefixes_and_tags_can_be_chosen() -> None:
    made = builder().with_config(BaseConfig, prefix="/c", tags=["C"]).with_artifacts(hierarchy=TREE, prefix="/a")
    app = made.with_jobs(prefix="/j", tags=["J"]).with_ml(RUNNER, prefix="/m").with_system(prefix="/s").build()
    paths = app.openapi()["paths"]
    assert {"/c", "/a", "/j", "/m/$train", "/s", "/c/{entity_id}/$link-artifact", "/a/{entity_id}/$config"} <= set(
        paths
    )
    assert (paths["/c"]["get"]["tags"], paths["/j"]["get"]["tags"]) == (["C"], ["J"])


@pytest.mark.parametrize("url", ["mysql://a/b", "nonsense", "sqlite+pysqlite://"])
def test_an_unknown_database_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        builder().with_database(url)
    assert caught.value.code == "database-url-invalid"
    with pytest.raises(ConfigurationError):
        builder(database_url=url)


@pytest.mark.parametrize("thing", [3, Path("service.db"), object()])
def test_something_that_is_no_database_is_a_mistake(thing: Any) -> None:
    with pytest.raises(TypeError, match="Expected str, Database, or None"):
        builder().with_database(thing)


def test_a_database_may_be_given_in_several_forms(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'service.db'}"
    for given in (None, url, f"sqlite:///{tmp_path / 'service.db'}", SqliteDatabase(url)):
        assert isinstance(builder().with_database(given).build(), FastAPI)


@pytest.mark.parametrize(
    ("given", "collection", "entity"),
    [
        ({}, {"GET", "POST"}, {"GET", "PUT", "PATCH", "DELETE"}),
        ({"allow_create": False}, {"GET"}, {"GET", "PUT", "PATCH", "DELETE"}),
        ({"allow_read": False}, {"POST"}, {"PUT", "PATCH", "DELETE"}),
        ({"allow_update": False}, {"GET", "POST"}, {"GET", "DELETE"}),
        ({"allow_delete": False}, {"GET", "POST"}, {"GET", "PUT", "PATCH"}),
        ({"permissions": CrudPermissions(create=False, delete=False)}, {"GET"}, {"GET", "PUT", "PATCH"}),
        (
            {"permissions": CrudPermissions(create=False, delete=False), "allow_create": True, "allow_read": None},
            {"GET", "POST"},
            {"GET", "PUT", "PATCH"},
        ),
    ],
)
def test_operations_can_be_left_out(given: dict[str, Any], collection: set[str], entity: set[str]) -> None:
    app = builder().with_config(BaseConfig, **given).with_artifacts(hierarchy=TREE, **given).build()
    for path in ("/api/v1/configs", "/api/v1/artifacts"):
        assert methods(app, path) == collection
        assert methods(app, path + "/{entity_id}") == entity


def test_an_unknown_permission_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="allow_everything"):
        builder().with_config(BaseConfig, allow_everything=True)


def test_a_service_is_built_in_one_call() -> None:
    app = ServiceBuilder.create(info=ServiceInfo(display_name="A service", version="2.0.0", summary="Short"))
    assert (app.title, app.version, app.description, app.summary) == ("A service", "2.0.0", "Short", "Short")
    assert "/api/v1/info" in app.openapi()["paths"]


def test_a_model_service_has_everything_that_a_platform_asks_for() -> None:
    app = MLServiceBuilder(info=INFO, config_schema=BaseConfig, hierarchy=HIERARCHY, runner=RUNNER).build()
    paths = app.openapi()["paths"].keys()
    assert {
        "/health",
        "/api/v1/info",
        "/api/v1/system",
        "/api/v1/configs/$schema",
        "/api/v1/configs/{entity_id}/$link-artifact",
        "/api/v1/artifacts/{entity_id}/$tree",
        "/api/v1/artifacts/{entity_id}/$config",
        "/api/v1/jobs/{job_id}",
        "/api/v1/ml/$train",
        "/api/v1/ml/$predict",
    } <= paths


def test_an_unknown_option_of_a_model_service_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="max_concurrency"):
        MLServiceBuilder(info=INFO, config_schema=BaseConfig, hierarchy=HIERARCHY, runner=RUNNER, max_concurrency=3)


def test_names_of_operations_and_schemas_are_unique() -> None:
    made = builder().with_config(BaseConfig).with_config(BaseConfig, name="other", prefix="/api/v1/others")
    document = made.with_artifacts(hierarchy=TREE).with_jobs().with_ml(RUNNER).with_health().build().openapi()
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    train = document["paths"]["/api/v1/ml/$train"]["post"]
    assert {"202", "404", "409", "413", "422", "503"} <= train["responses"].keys()
    assert [parameter["name"] for parameter in train["parameters"]] == ["Idempotency-Key", "prefer"]

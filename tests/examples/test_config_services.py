from collections.abc import Iterator
from pathlib import Path

import pytest

from chapkit.client import Client, Conflict, Invalid, NotFound
from chapkit.client.configs import Configs
from chapkit.ops.health_schemas import HealthState
from examples import config_api, config_artifact_api, custom_operations_api, library_usage

FLAGS = "/api/v1/flags"


@pytest.fixture
def flags(folder: Path) -> Iterator[Client]:
    with Client(app=custom_operations_api.app) as client:
        yield client


def test_configurations_are_seeded_once(folder: Path) -> None:
    for _ in range(2):
        with Client(app=config_api.app) as client:
            configs = client.configs.typed(config_api.ForecastConfig)
            regions = {config.name: config.data.region for config in configs.list('tags:eq:["seed"]')}
    assert regions == {"north": "Troms", "middle": "Oslo", "south": "Agder"}
    assert (folder / "data" / "config_api.db").exists()


def test_a_configuration_service_tells_about_itself_and_its_class(folder: Path) -> None:
    with Client(app=config_api.app) as client:
        assert (client.info().id, client.info().version) == ("configurations", "1.2.0")
        assert client.health().status is HealthState.HEALTHY
        assert client.system.system().database == "sqlite"
        assert client.configs.schema()["required"] == ["region"]
        with pytest.raises(Invalid, match=r"data\.region"):
            client.configs.create("nowhere", {})


def test_a_tree_belongs_to_its_configuration(folder: Path) -> None:
    with Client(app=config_artifact_api.app) as client:
        assert client.health().checks is not None
        assert set(client.health().checks or {}) == {"database", "disk"}
        north = client.configs.find_by_name("north")
        assert north is not None
        (model,) = client.request("GET", f"/api/v1/configs/{north.id}/$artifacts").json()
        tree = client.request("GET", f"/api/v1/artifacts/{model['id']}/$tree").json()
        assert (tree["level_label"], tree["config"]["name"]) == ("model", "north")
        (prediction,) = tree["children"]
        config = client.request("GET", f"/api/v1/artifacts/{prediction['id']}/$config").json()
        assert config["id"] == north.id
        client.configs.delete(north.id)
        assert client.request("GET", f"/api/v1/artifacts/{model['id']}").status_code == 404


def test_a_full_disk_degrades_the_service(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_artifact_api, "ENOUGH_BYTES", 2**62)
    with Client(app=config_artifact_api.app) as client:
        assert client.health().status is HealthState.DEGRADED


def test_a_flag_is_switched_on_and_reset(flags: Client) -> None:
    id = _create(flags, "dark-mode", share=20)
    assert flags.request("PATCH", f"{FLAGS}/{id}/$enable").json()["data"]["enabled"] is True
    assert flags.request("GET", f"{FLAGS}/$summary").json() == {"enabled": 1, "disabled": 0}
    assert flags.request("POST", f"{FLAGS}/{id}/$reset").json()["data"]["share"] == 100
    assert flags.request("GET", f"{FLAGS}/{id}").json()["data"]["enabled"] is False


def test_a_flag_is_checked(flags: Client) -> None:
    good, odd = _create(flags, "good"), _create(flags, "odd", share=120)
    assert flags.request("GET", f"{FLAGS}/{good}/$validate").json() == {"valid": True, "problems": []}
    found = flags.request("GET", f"{FLAGS}/{odd}/$validate").json()
    assert (found["valid"], len(found["problems"])) == (False, 1)


def test_a_name_is_taken_only_once(flags: Client) -> None:
    id = _create(flags, "first")
    copy = flags.request("POST", f"{FLAGS}/{id}/$duplicate", json={"name": "second"})
    assert (copy.status_code, copy.json()["name"]) == (201, "second")
    again = flags.request("POST", f"{FLAGS}/{id}/$duplicate", json={"name": "second"})
    assert (again.status_code, again.json()["code"]) == (409, "name-taken")


def test_many_flags_are_switched_together_or_not_at_all(flags: Client) -> None:
    ids = [_create(flags, name) for name in ("one", "two")]
    wrong = flags.request("PATCH", f"{FLAGS}/$bulk-toggle", json={"ids": [*ids, "0" * 26], "enabled": True})
    assert wrong.status_code == 404
    assert flags.request("GET", f"{FLAGS}/$summary").json()["enabled"] == 0
    both = flags.request("PATCH", f"{FLAGS}/$bulk-toggle", json={"ids": ids, "enabled": True})
    assert [item["data"]["enabled"] for item in both.json()] == [True, True]


def test_the_operations_of_a_collection_are_listed(flags: Client) -> None:
    names = {item["name"] for item in flags.request("GET", f"{FLAGS}/$operations").json()}
    assert names >= {"enable", "validate", "duplicate", "reset", "bulk-toggle", "summary"}


def test_a_table_of_ones_own_stands_beside_configurations(folder: Path) -> None:
    with Client(app=library_usage.app) as client:
        client.configs.create("limit", {"most": 2})
        body = {"email": "ada@example.org", "wishes": {"weekly": True}}
        created = client.request("POST", "/api/v1/subscribers", json=body)
        assert (created.status_code, created.json()["wishes"]) == (201, {"weekly": True})
        taken = client.request("POST", "/api/v1/subscribers", json=body)
        assert (taken.status_code, taken.json()["code"]) == (409, "constraint-violated")
        assert client.request("POST", "/api/v1/subscribers", json={"email": "ada"}).status_code == 422
        assert client.request("GET", "/api/v1/rooms").json() == {"left": 1}
        found = client.request("GET", "/api/v1/subscribers", params={"filter": "wishes.weekly:eq:true"})
        assert len(found.json()) == 1


def test_errors_of_these_services_are_errors_of_the_client(flags: Client) -> None:
    with pytest.raises(NotFound):
        flags.configs.get("0" * 26)
    others = Configs(flags.transport, custom_operations_api.FlagConfig, FLAGS)
    id = others.create("once", {}).id
    with pytest.raises(Conflict):
        others.create("twice", {}, id=id)


def _create(client: Client, name: str, **data: object) -> str:
    created = client.request("POST", FLAGS, json={"name": name, "data": data})
    assert created.status_code == 201
    return str(created.json()["id"])

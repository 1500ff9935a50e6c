import sys
from pathlib import Path

import pytest
from fastapi import FastAPI

from chapkit.cli.errors import CommandLineError
from chapkit.cli.loading import load_app, services_of
from chapkit.core.services import Services

MODULE = """
from fastapi import FastAPI

from chapkit.api import ServiceBuilder, ServiceInfo

builder = ServiceBuilder(info=ServiceInfo(display_name="Loaded"))
app = builder.build()
plain = FastAPI()
number = 7


class Holder:
    app = app


def make(name="x", *args, **kwargs):
    return builder


def needs(name):
    return app


async def late():
    return app
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"loaded_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


@pytest.mark.parametrize("attribute", ["", ":", ":app", ":builder", ":make", ":Holder.app"])
def test_an_application_is_found_by_its_name(module: str, attribute: str) -> None:
    app = load_app(module + attribute)
    assert isinstance(app, FastAPI)
    assert app.title == "Loaded"
    assert isinstance(services_of(app), Services)


def test_the_current_folder_is_searched_first(module: str, tmp_path: Path) -> None:
    load_app(module)
    load_app(module)
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


@pytest.mark.parametrize("target", ["", ":app", "service.py", "service.py:app", "folder/service:app", "a b:app"])
def test_what_is_no_name_is_refused(target: str) -> None:
    with pytest.raises(CommandLineError, match="write MODULE:ATTRIBUTE") as caught:
        load_app(target)
    assert caught.value.code == "app-target-invalid"


@pytest.mark.parametrize("target", ["not_there:app", "json.not_there:app"])
def test_a_module_that_is_not_there_is_named(target: str, tmp_path: Path) -> None:
    with pytest.raises(CommandLineError, match=f"There is no module '.*not_there' in {tmp_path}") as caught:
        load_app(target)
    assert caught.value.code == "app-module-missing"


def test_a_module_that_lacks_another_one_tells_itself(tmp_path: Path) -> None:
    (tmp_path / "lacking.py").write_text("import lacking_more\n")
    with pytest.raises(ModuleNotFoundError, match="No module named 'lacking_more'"):
        load_app("lacking")


@pytest.mark.parametrize(
    ("attribute", "text"),
    [("aap", "'aap'; did you mean 'app'"), ("service", "did you mean 'builder'"), ("Holder.ap", "did you mean 'app'")],
)
def test_an_attribute_that_is_not_there_is_named(module: str, attribute: str, text: str) -> None:
    with pytest.raises(CommandLineError, match=text) as caught:
        load_app(f"{module}:{attribute}")
    assert caught.value.code == "app-attribute-missing"


def test_nothing_is_proposed_where_nothing_is_alike() -> None:
    with pytest.raises(CommandLineError, match=r"^json has no 'application'$"):
        load_app("json:application")


@pytest.mark.parametrize("attribute", ["plain", "number", "needs", "late", "Holder", "Holder.app.title"])
def test_what_chapkit_has_not_built_is_refused(module: str, attribute: str) -> None:
    with pytest.raises(CommandLineError, match="is no service of chapkit") as caught:
        load_app(f"{module}:{attribute}")
    assert caught.value.code == "app-not-chapkit"

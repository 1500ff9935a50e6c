import importlib
import subprocess
import sys

import pytest

import chapkit
from tests.architecture.source_tree import module_name, source_files

LOADED_WITH_CHAPKIT = {"chapkit", "chapkit._lazy"}
LATE_WITH_CHAPKIT = {
    "alembic",
    "fastapi",
    "httpx",
    "numpy",
    "opentelemetry.sdk",
    "pandas",
    "polars",
    "pyarrow",
    "pydantic",
    "sklearn",
    "sqlalchemy",
    "starlette",
    "structlog",
    "uvicorn",
}
LATE_WITH_A_SERVICE = {
    "alembic",
    "httpx",
    "numpy",
    "opentelemetry.sdk",
    "pandas",
    "polars",
    "pyarrow",
    "sklearn",
    "uvicorn",
}
NOT_FOR_CLIENTS = {"aiosqlite", "alembic", "fastapi", "sqlalchemy", "starlette"}

PACKAGES = sorted(module_name(path) for path in source_files() if path.name == "__init__.py")
SCHEMAS = sorted(module_name(path) for path in source_files() if path.name.endswith("schemas.py"))


def test_importing_chapkit_loads_nothing_but_its_table() -> None:
    assert {name for name in _loaded_by("chapkit") if name.partition(".")[0] == "chapkit"} <= LOADED_WITH_CHAPKIT


def test_importing_chapkit_loads_no_heavy_package() -> None:
    assert _loaded_by("chapkit") & LATE_WITH_CHAPKIT == set()


def test_importing_the_builder_loads_no_package_that_only_some_services_use() -> None:
    assert _loaded_by("chapkit.api.builder") & LATE_WITH_A_SERVICE == set()


def test_importing_the_client_loads_neither_server_nor_database() -> None:
    assert _loaded_by("chapkit.client") & NOT_FOR_CLIENTS == set()


def test_importing_schemas_loads_neither_server_nor_database() -> None:
    assert _loaded_by(*SCHEMAS) & NOT_FOR_CLIENTS == set()


def test_chapkit_lists_its_public_names() -> None:
    assert chapkit.__all__
    assert set(chapkit.__all__) <= set(dir(chapkit))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_resolves(package: str) -> None:
    module = importlib.import_module(package)
    public: list[str] = getattr(module, "__all__", [])
    assert [name for name in public if not hasattr(module, name)] == []
    assert len(public) == len(set(public))


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def _loaded_by(*modules: str) -> set[str]:
    program = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules), sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return set(result.stdout.split())

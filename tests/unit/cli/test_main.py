import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import chapkit
from chapkit.cli.main import main
from tests.architecture.source_tree import ROOT

HEAVY = {"fastapi", "pydantic", "sqlalchemy", "structlog", "uvicorn"}


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.output) == (0, f"chapkit {chapkit.__version__}\n")


def test_the_help_lists_every_command() -> None:
    result = CliRunner().invoke(main, ["-h"])
    assert result.exit_code == 0
    assert "worker  Run the jobs of a service" in result.output


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(main, ["wroker"])
    assert result.exit_code == 2
    assert "No such command 'wroker'" in result.output


@pytest.mark.parametrize("command", [["-m", "chapkit"], [str(Path(sys.executable).with_name("chapkit"))]])
def test_the_module_and_the_script_are_the_same_command(command: list[str], tmp_path: Path) -> None:
    program = [sys.executable, *command] if command[0] == "-m" else command
    if command[0] != "-m" and not Path(command[0]).exists():
        pytest.skip("chapkit was installed before it had a script")
    result = subprocess.run([*program, "--version"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert result.stdout == f"chapkit {chapkit.__version__}\n"


def test_the_script_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"chapkit": "chapkit.cli.main:main"}


def test_asking_for_the_version_loads_no_heavy_package() -> None:
    program = "import sys, chapkit.cli.main; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) & HEAVY == set()

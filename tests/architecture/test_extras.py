import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from chapkit._extras import requires_extra
from chapkit.core.errors import MissingExtraError
from tests.architecture.source_tree import ROOT, parsed

EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


def test_an_installed_package_is_returned() -> None:
    assert requires_extra("json", "arrow") is sys.modules["json"]


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as raised:
        requires_extra("pyarrow", "arrow")
    assert str(raised.value) == "'pyarrow' is not installed; run: pip install 'chapkit[arrow]'"


def test_a_missing_package_is_named_when_one_of_its_modules_was_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    with pytest.raises(MissingExtraError, match=r"^'pyarrow' is not installed"):
        requires_extra("pyarrow.parquet", "arrow")


def test_a_fault_inside_an_installed_package_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "half_installed.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        requires_extra("half_installed", "arrow")


def test_every_extra_that_the_code_asks_for_is_declared_and_brings_the_package() -> None:
    wrong = [f"{file}: {package} of {extra}" for file, package, extra in _asked() if not _brings(extra, package)]
    assert wrong == []


def _asked() -> list[tuple[str, str, str]]:
    asked: list[tuple[str, str, str]] = []
    for file, tree in parsed():
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Name(id="requires_extra"),
                    args=[ast.Constant(value=str(module)), ast.Constant(value=str(extra))],
                ):
                    asked.append((file, module.partition(".")[0], extra))
                case _:
                    pass
    return asked


def _brings(extra: str, package: str) -> bool:
    distributions = {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in EXTRAS.get(extra, [])}
    return {"sklearn": "scikit-learn"}.get(package, package) in distributions

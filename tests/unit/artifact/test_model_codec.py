import importlib
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LinearRegression

from chapkit.artifact.model_codec import dump_model, load_model
from chapkit.core.errors import UnprocessableError

SCRIPT = """
import sys
from pathlib import Path

from chapkit.artifact.model_codec import dump_model, load_model


class Model:
    class Part:
        pass

    def __init__(self) -> None:
        self.slope = 3
        self.part = Model.Part()


def scale(value):
    return 2 * value


if __name__ == "__main__":
    content = dump_model({"model": Model(), "class": Model, "function": scale})
    assert isinstance(load_model(content)["model"], Model), "the same process must find its own class"
    Path(sys.argv[1]).write_bytes(content)
"""


@dataclass
class Trend:
    slope: float
    history: list[float]


class Stubborn:
    def __reduce__(self) -> Any:
        raise RuntimeError("I will not")


@pytest.mark.parametrize("value", [Trend(1.5, [1.0]), {1, 2}, b"bytes", {"a": (1, 2)}, None, Trend])
def test_an_object_comes_back_as_itself(value: object) -> None:
    assert load_model(dump_model(value)) == value


def test_a_fitted_estimator_comes_back() -> None:
    model = LinearRegression().fit([[1.0], [2.0], [3.0]], [2.0, 4.0, 6.0])
    restored = load_model(dump_model(model))
    assert restored.predict([[10.0]]) == pytest.approx([20.0])


@pytest.mark.parametrize("value", [lambda: 1, threading.Lock(), Stubborn(), (item for item in "a")])
def test_what_cannot_be_pickled_is_named(value: object) -> None:
    with pytest.raises(UnprocessableError) as caught:
        dump_model(value)
    assert caught.value.code == "model-not-storable"
    assert type(value).__qualname__ in caught.value.detail


def test_a_class_inside_of_a_function_is_refused() -> None:
    class Local:
        pass

    with pytest.raises(UnprocessableError, match="inside of a function") as caught:
        dump_model(Local())
    assert caught.value.code == "model-not-storable"


def test_a_model_whose_code_is_gone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "passing_fashion.py").write_text("class Model:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    content = dump_model(importlib.import_module("passing_fashion").Model())
    monkeypatch.delitem(sys.modules, "passing_fashion")
    (tmp_path / "passing_fashion.py").write_text("class Renamed:\n    pass\n\n\n# longer than before\n")
    importlib.invalidate_caches()
    with pytest.raises(UnprocessableError, match="Model") as caught:
        load_model(content)
    assert caught.value.code == "model-not-loadable"
    sys.modules.pop("passing_fashion", None)


@pytest.mark.parametrize("how", [["started_script.py"], ["-m", "started_script"], ["-m", "package.started_script"]])
def test_a_class_of_the_started_script_is_found_under_its_real_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    (tmp_path / "package").mkdir()
    for folder in (tmp_path, tmp_path / "package"):
        (folder / "started_script.py").write_text(SCRIPT)
    run = subprocess.run([sys.executable, *how, "model.pickle"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    restored = load_model((tmp_path / "model.pickle").read_bytes())
    name = "package.started_script" if "package" in how[-1] else "started_script"
    assert type(restored["model"]).__module__ == name
    assert type(restored["model"].part).__qualname__ == "Model.Part"
    assert restored["class"] is type(restored["model"])
    assert restored["function"](4) == 8
    for module in [item for item in sys.modules if item.partition(".")[0] in ("package", "started_script")]:
        monkeypatch.delitem(sys.modules, module)


def test_a_class_of_a_script_without_a_name_is_refused_with_the_remedy() -> None:
    code = (
        "from chapkit.artifact.model_codec import dump_model\n"
        "from chapkit.core.errors import UnprocessableError\n"
        "class Model: pass\n"
        "try: dump_model(Model())\n"
        "except UnprocessableError as error: print(error.code, error.detail)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("model-class-in-main Model is defined in the script")
    assert "move it into a module of its own" in run.stdout

from pathlib import Path
from typing import Any

import pytest

import chapkit
from chapkit.job.executors.containment import contained
from chapkit.job.executors.raised import user_traceback

_PACKAGE = Path(chapkit.__file__).parent
_SOURCE = """
def fit():
    raise ValueError("no rows")


def around():
    return fit()
"""


def _told(path: Path) -> str:
    names: dict[str, Any] = {}
    exec(compile(_SOURCE, str(path), "exec"), names)
    with pytest.raises(ValueError, match="no rows") as caught:
        contained(names["around"])
    return user_traceback(caught.value)


def test_a_package_that_begins_with_the_same_letters_is_of_the_user() -> None:
    told = _told(_PACKAGE.with_name("chapkit_model") / "model.py")
    assert [line.rpartition(" ")[2] for line in told.splitlines() if "File" in line] == ["around", "fit"]


def test_an_error_that_never_left_chapkit_is_told_with_its_own_lines() -> None:
    told = _told(_PACKAGE / "task" / "calls.py")
    assert [line.rpartition(" ")[2] for line in told.splitlines() if "File" in line] == ["around", "fit"]

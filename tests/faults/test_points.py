import re
from pathlib import Path

import chapkit
from tests.faults.points import POINTS

SOURCES = sorted(Path(chapkit.__file__).parent.rglob("*.py"))
LEAST = 30
_named = re.compile(r"\breach\(\"([^\"]+)\"\)").findall
_called = re.compile(r"\breach\((?!point: str)").findall
OWN = "test."


def test_every_point_in_the_code_is_one_that_processes_are_struck_at() -> None:
    found = {name for path in SOURCES for name in _named(path.read_text(encoding="utf-8"))}
    assert found == {name for name in POINTS if not name.startswith(OWN)}


def test_every_point_is_named_where_it_is_reached() -> None:
    # A name that is made at run time could not be compared with the table.
    texts = [path.read_text(encoding="utf-8") for path in SOURCES]
    assert [len(_named(text)) for text in texts] == [len(_called(text)) for text in texts]


def test_there_are_points_enough() -> None:
    assert len(POINTS) >= LEAST

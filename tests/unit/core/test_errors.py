import re
from collections.abc import Iterator

import pytest

from chapkit.core import errors
from chapkit.core.errors import (
    ChapkitError,
    ChapkitException,
    ConfigurationError,
    ErrorType,
    MissingExtraError,
    NotFoundError,
)
from chapkit.web.problems import KINDS


def _all(root: type[ChapkitError] = ChapkitError) -> Iterator[type[ChapkitError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__.startswith("chapkit."):
            yield from _all(child)


def test_every_kind_of_error_has_a_status() -> None:
    assert {error.kind for error in _all()} - set(KINDS) == set()


def test_every_error_says_something_without_being_told() -> None:
    silent = [error.__name__ for error in _all() if not (error.__doc__ or "").strip()]
    assert silent == []


def test_an_error_without_a_text_takes_that_of_its_class() -> None:
    assert str(NotFoundError()) == "The thing that was asked for does not exist."


def test_an_error_keeps_what_it_was_told() -> None:
    error = NotFoundError("gone", code="thing-gone", instance="/things/1", field="id")
    assert (error.detail, error.code, error.instance, error.extensions) == (
        "gone",
        "thing-gone",
        "/things/1",
        {"field": "id"},
    )
    assert error.type_uri == ErrorType.NOT_FOUND == "urn:chapkit:error:not-found"


def test_the_code_is_the_kind_where_nothing_else_was_said() -> None:
    assert NotFoundError("gone").code == "not-found"


def test_errors_are_what_python_programs_expect_too() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
    assert ChapkitException is ChapkitError


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = dict(re.findall(r"^ +[│ ]*(?:[├└]── )?(\w+Error) +([a-z-]+)", errors.__doc__ or "", re.MULTILINE))
    real = {error.__name__: error.kind for error in _all() if error.__module__ == errors.__name__}
    assert drawn == real


@pytest.mark.parametrize("name", [name for name in vars(ErrorType) if name.isupper()])
def test_every_public_problem_type_belongs_to_a_kind(name: str) -> None:
    assert getattr(ErrorType, name).removeprefix("urn:chapkit:error:") in KINDS

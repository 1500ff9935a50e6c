import pytest

from chapkit.core.errors import BadRequestError
from chapkit.core.query import Filter, Operator, Sort
from chapkit.web.filters import parse_filters, parse_sort


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("name:eq:a", Filter(("name",), Operator.EQ, "a")),
        ("data.a.b:in:1,2", Filter(("data", "a", "b"), Operator.IN, "1,2")),
        ("name:like:a:b", Filter(("name",), Operator.LIKE, "a:b")),
        ("name:null", Filter(("name",), Operator.NULL, "true")),
        ("name:null:false", Filter(("name",), Operator.NULL, "false")),
        ("name:eq:", Filter(("name",), Operator.EQ, "")),
    ],
)
def test_a_condition_is_read(text: str, condition: Filter) -> None:
    assert parse_filters([text]) == (condition,)


@pytest.mark.parametrize("text", ["", ":", "::", "name", "name:eq", ":eq:1"])
def test_a_condition_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        parse_filters([text])
    assert raised.value.code == "filter-invalid"


def test_an_unknown_operator_is_answered_with_the_likely_one() -> None:
    with pytest.raises(BadRequestError) as raised:
        parse_filters(["name:lik:a"])
    assert raised.value.code == "filter-operator-unknown"
    assert raised.value.extensions["did_you_mean"] == ["like"]


def test_an_order_is_read() -> None:
    assert parse_sort("-created_at, name ,data.a.b") == (
        Sort(("created_at",), descending=True),
        Sort(("name",)),
        Sort(("data", "a", "b")),
    )
    assert parse_sort(None) == parse_sort("") == parse_sort(" , -,") == ()

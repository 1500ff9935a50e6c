from datetime import timedelta
from typing import Any

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.task.cache import Cache


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (None, None),
        (90, 90),
        (0.5, 0.5),
        ("90s", 90),
        ("15m", 900),
        ("1h", 3600),
        ("1.5 h", 5400),
        ("1d12h", 129600),
        ("2w", 1209600),
        (timedelta(minutes=2), 120),
    ],
)
def test_a_time_to_live_is_written_in_several_ways(ttl: Any, seconds: float | None) -> None:
    assert Cache(ttl=ttl).seconds == seconds


@pytest.mark.parametrize("ttl", [0, -1, "", "h", "1", "1y", "1h, please", True, [], "9" * 50 + "s", 1e12, float("nan")])
def test_a_time_to_live_that_makes_no_sense_is_refused_where_it_is_written(ttl: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Cache(ttl=ttl)
    assert (caught.value.code, caught.value.extensions["field"]) == ("cache-invalid", "ttl")


def test_tags_are_texts() -> None:
    assert Cache(tags=["a", "b"]).tags == ("a", "b")
    with pytest.raises(ConfigurationError, match="100 characters"):
        Cache(tags=[""])


@pytest.mark.parametrize("value", [3, True, [3], [None], b"ab"])
@pytest.mark.parametrize("field", ["key", "tags"])
def test_what_is_no_text_is_refused_where_it_is_written(field: str, value: Any) -> None:
    options: dict[str, Any] = {field: value}
    with pytest.raises(ConfigurationError) as caught:
        Cache(**options)
    assert (caught.value.code, caught.value.extensions["field"]) == ("cache-invalid", field)


def test_a_single_tag_is_written_in_a_list_as_in_the_registration() -> None:
    with pytest.raises(ConfigurationError, match=r'tags=\["climate"\]') as caught:
        Cache(tags="climate")
    assert (caught.value.code, caught.value.extensions["field"]) == ("cache-invalid", "tags")


def test_equal_parameters_have_the_same_key_in_whatever_order_they_come() -> None:
    cache = Cache()
    key = cache.key_of("f", "v", {"a": 1, "b": {"c": 2, "d": 3}})
    assert key == cache.key_of("f", "v", {"b": {"d": 3, "c": 2}, "a": 1})
    assert len(key) == 64
    others = [
        cache.key_of("g", "v", {"a": 1, "b": {"c": 2, "d": 3}}),
        cache.key_of("f", "w", {"a": 1, "b": {"c": 2, "d": 3}}),
        cache.key_of("f", "v", {"a": "1", "b": {"c": 2, "d": 3}}),
        cache.key_of("f", "v", {"a": 1, "b": {"c": 2}}),
    ]
    assert len({key, *others}) == 5


def test_only_the_named_parameters_decide() -> None:
    cache = Cache(key=["place"])
    assert cache.parameters == ("place",)
    assert cache.key_of("f", "v", {"place": "A", "verbose": True}) == cache.key_of("f", "v", {"place": "A"})
    assert cache.key_of("f", "v", {"place": "A"}) != cache.key_of("f", "v", {"place": "B"})
    assert Cache(key="place").key_of("f", "v", {"place": "A"}) == cache.key_of("f", "v", {"place": "A"})


def test_a_function_may_add_what_else_the_result_depends_on() -> None:
    day = ["Monday"]
    cache = Cache(key=lambda parameters: (parameters["place"], day[0]))
    before = cache.key_of("f", "v", {"place": "A"})
    assert before == cache.key_of("f", "v", {"place": "A", "verbose": True})
    day[0] = "Tuesday"
    assert cache.key_of("f", "v", {"place": "A"}) != before
    assert cache.parameters == ()


@pytest.mark.parametrize("key", [lambda parameters: parameters["absent"], lambda parameters: object(), lambda: 1])
def test_a_key_that_cannot_be_made_says_of_which_function(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="cache key of rainfall") as caught:
        Cache(key=key).key_of("rainfall", "v", {})
    assert caught.value.code == "cache-key-failed"

"""Random cron expressions, each written in several ways that mean the same."""

import random
from collections.abc import Collection

from hypothesis import strategies as st

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
BOUNDS = {"second": (0, 59), "minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}


def values(field: str) -> st.SearchStrategy[frozenset[int]]:
    """Sets of values as people choose them: all, one, some, steps, rows."""
    low, high = BOUNDS[field]
    return st.one_of(
        st.just(frozenset(range(low, high + 1))),
        st.integers(low, high).map(lambda value: frozenset({value})),
        st.frozensets(st.integers(low, high), min_size=1, max_size=6),
        st.sampled_from([2, 3, 5, 10, 15, 20, 30]).map(lambda step: frozenset(range(low, high + 1, step))),
        st.tuples(st.integers(low, high), st.integers(low, high)).map(
            lambda ends: frozenset(range(min(ends), max(ends) + 1))
        ),
    )


def written(field: str, chosen: Collection[int], chance: random.Random, *, may_be_star: bool = True) -> str:
    """Return a field with these values, in one of the ways to write them."""
    low, high = BOUNDS[field]
    if may_be_star:
        for step in range(1, high + 1):
            if set(chosen) == set(range(low, high + 1, step)) and chance.random() < 0.5:
                return f"*/{step}" if step > 1 or chance.random() < 0.3 else "*"
    items: list[str] = []
    rest = sorted(chosen)
    while rest:
        length = next((n for n in range(len(rest), 0, -1) if rest[n - 1] - rest[0] == n - 1), 1)
        if length > 1 and chance.random() < 0.6:
            items.append(f"{_name(field, rest[0], chance)}-{_name(field, rest[length - 1], chance)}")
            del rest[:length]
        else:
            items.append(_name(field, rest.pop(0), chance))
    chance.shuffle(items)
    items += chance.sample(items, 1) if chance.random() < 0.2 else []
    return ",".join(items)


def _name(field: str, value: int, chance: random.Random) -> str:
    names = {"month": ["", *MONTHS], "weekday": WEEKDAYS}.get(field)
    if names and chance.random() < 0.5:
        return names[value] if chance.random() < 0.5 else names[value].lower()
    return str(value)


@st.composite
def twins(draw: st.DrawFn) -> tuple[str, str]:
    """Two expressions that mean the same."""
    fields = ["minute", "hour", "day", "month", "weekday"]
    if draw(st.booleans()):
        fields.insert(0, "second")
    chosen = {field: draw(values(field)) for field in fields}
    chance = draw(st.randoms(use_true_random=False))
    # A star at the begin of a day field says that both must hold, so both ways need it or neither.
    has_star = {field: field not in ("day", "weekday") or draw(st.booleans()) for field in fields}

    def write() -> str:
        words = []
        for field in fields:
            low, high = BOUNDS[field]
            is_all = len(chosen[field]) == high - low + 1
            if field in ("day", "weekday") and has_star[field] and is_all:
                words.append(chance.choice(["*", "*/1"]))
            else:
                words.append(written(field, chosen[field], chance, may_be_star=field not in ("day", "weekday")))
        return " ".join(words)

    return write(), write()

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chapkit.core.errors import ConfigurationError
from chapkit.job.errors import JobTimeoutError
from chapkit.job.policies import Retry

_LONGEST = 30 * 86400.0


def _seconds(highest: float) -> st.SearchStrategy[float]:
    return st.just(0.0) | st.floats(1e-6, highest, allow_nan=False)


_policies = st.builds(
    Retry,
    attempts=st.integers(1, 1000),
    initial=_seconds(_LONGEST),
    factor=st.floats(1.0, 1000.0),
    maximum=_seconds(_LONGEST),
    jitter=st.booleans(),
)


def _plainly(retry: Retry, failures: int) -> float:
    """Return the longest pause after so many failures, step by step."""
    pause = retry.initial
    for _ in range(failures - 1):
        if pause >= retry.maximum:
            break
        pause *= retry.factor
    return min(pause, retry.maximum)


def _check(retry: Retry, failures: int, chance: float) -> None:
    longest = _plainly(retry, failures)
    pause = retry.delay(failures, lambda: chance)
    if retry.jitter:
        assert longest / 2 * (1 - 1e-9) <= pause <= longest * (1 + 1e-9)
        assert math.isclose(pause, longest * (1 - chance / 2), rel_tol=1e-9)
    else:
        assert math.isclose(pause, longest, rel_tol=1e-9)


@settings(max_examples=300, deadline=None)
@given(_policies, st.integers(1, 2000), st.floats(0, 1, exclude_max=True))
def test_the_pause_grows_by_its_factor_up_to_its_maximum(retry: Retry, failures: int, chance: float) -> None:
    _check(retry, failures, chance)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_the_pause_of_ten_thousand_policies_is_as_the_plain_formula_says(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        retry = Retry(
            attempts=chance.randint(1, 1000),
            initial=chance.choice([0.0, chance.random(), chance.uniform(0, _LONGEST)]),
            factor=chance.choice([1.0, 2.0, 1 + chance.random(), chance.uniform(1, 1000)]),
            maximum=chance.choice([0.0, 300.0, chance.uniform(0, _LONGEST)]),
            jitter=chance.random() < 0.5,
        )
        _check(retry, chance.randint(1, 1000), chance.random())


def test_chance_takes_different_parts_off_a_pause() -> None:
    retry = Retry(initial=100.0)
    pauses = {retry.delay(1, random.Random(seed).random) for seed in range(50)}
    assert len(pauses) == 50
    assert all(50.0 < pause <= 100.0 for pause in pauses)
    assert 50.0 < retry.delay(1) <= 100.0


def test_a_pause_of_nothing_stays_nothing_however_often_the_job_has_failed() -> None:
    assert Retry(attempts=1000, initial=0, factor=1000, jitter=False).delay(999) == 0


def test_a_job_is_tried_as_often_as_the_policy_says() -> None:
    retry = Retry(attempts=3)
    assert [retry.allows(ValueError(), failures) for failures in (1, 2, 3, 4)] == [True, True, False, False]
    assert not Retry(attempts=1).allows(ValueError(), 1)


class _OwnError(OSError):
    pass


@pytest.mark.parametrize(
    ("on", "never", "error", "allowed"),
    [
        ((), (), ValueError(), True),
        ((OSError,), (), OSError(), True),
        ((OSError,), (), FileNotFoundError(), True),
        ((OSError,), (), _OwnError(), True),
        ((OSError,), (), ValueError(), False),
        (("OSError",), (), ConnectionResetError(), True),
        (("builtins.OSError",), (), ConnectionResetError(), True),
        ((f"{__name__}._OwnError",), (), _OwnError(), True),
        (("_OwnError",), (), _OwnError(), False),
        ((), (OSError,), FileNotFoundError(), False),
        ((), ("OSError",), ValueError(), True),
        ((OSError,), (FileNotFoundError,), FileNotFoundError(), False),
        ((OSError,), (FileNotFoundError,), PermissionError(), True),
        ((TimeoutError,), (), JobTimeoutError("long"), True),
        ((), ("chapkit.job.errors.JobTimeoutError",), JobTimeoutError("long"), False),
    ],
)
def test_an_error_is_known_by_its_class_a_class_above_it_or_a_name(
    on: tuple[type[BaseException] | str, ...],
    never: tuple[type[BaseException] | str, ...],
    error: BaseException,
    allowed: bool,
) -> None:
    retry = Retry(on=on, never=never)
    assert retry.allows(error, 1) is allowed
    assert Retry.from_text(retry.to_text()).allows(error, 1) is allowed


_kinds = st.lists(st.sampled_from([OSError, ValueError, _OwnError, "httpx.ReadTimeout", "builtins.KeyError"])).map(
    tuple
)


@given(_policies, _kinds, _kinds)
def test_a_policy_comes_back_from_its_text_as_it_was(
    policy: Retry, on: tuple[type[BaseException] | str, ...], never: tuple[type[BaseException] | str, ...]
) -> None:
    values = {name: getattr(policy, name) for name in ("attempts", "initial", "factor", "maximum", "jitter")}
    retry = Retry(**values, on=on, never=never)
    assert Retry.from_text(retry.to_text()) == retry


def test_what_a_mapping_leaves_out_is_as_usual() -> None:
    assert Retry.from_mapping({"attempts": 2, "on": ["OSError"]}) == Retry(attempts=2, on=(OSError,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("attempts", -1),
        ("attempts", 1001),
        ("attempts", 2.5),
        ("attempts", "3"),
        ("initial", "1"),
        ("initial", -0.1),
        ("initial", float("nan")),
        ("initial", float("inf")),
        ("factor", 0.99),
        ("factor", float("nan")),
        ("factor", 1001.0),
        ("maximum", -1.0),
        ("maximum", 31 * 86400.0),
        ("on", "OSError"),
        ("never", OSError),
        ("on", (3,)),
        ("on", (int,)),
        ("never", (OSError(),)),
    ],
)
def test_values_that_make_no_sense_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name) as refused:
        Retry(**{name: value})  # type: ignore[arg-type]
    assert refused.value.code == "retry-policy-invalid"
    assert refused.value.extensions["field"] == name

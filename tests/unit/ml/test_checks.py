from typing import Any

import pytest

from chapkit.core.errors import UnprocessableError
from chapkit.core.ids import ULID
from chapkit.ml import PredictRequest, TrainRequest
from chapkit.ml.checks import RunLimits, check_predict, check_train

GOOD = {"columns": ["location", "rain"], "data": [["a", 1.0]]}
LIMITS = RunLimits(required_columns=("rain",), min_periods=3, max_periods=6)
NO_PLACES = {"type": "FeatureCollection", "features": []}


def train(**members: Any) -> TrainRequest:
    return TrainRequest.model_validate({"config_id": ULID(), "data": GOOD, **members})


def predict(**members: Any) -> PredictRequest:
    return PredictRequest.model_validate({"artifact_id": ULID(), "future": GOOD, **members})


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"columns": ["rain"], "data": []}, "frame-empty"),
        ({"columns": [], "data": []}, "frame-empty"),
        ({"columns": ["rain", "rain"], "data": [[1.0, 2.0]]}, "frame-columns-duplicate"),
        ({"columns": ["rain", "location"], "data": [[1.0]]}, "frame-rows-unequal"),
        ({"columns": ["rains"], "data": [[1.0]]}, "frame-columns-missing"),
    ],
)
def test_a_frame_that_no_model_can_use_is_refused(frame: dict[str, Any], code: str) -> None:
    with pytest.raises(UnprocessableError) as trained:
        check_train(train(data=frame), LIMITS)
    with pytest.raises(UnprocessableError) as predicted:
        check_predict(predict(future=frame), LIMITS)
    assert (trained.value.code, trained.value.extensions["frame"]) == (code, "data")
    assert (predicted.value.code, predicted.value.extensions["frame"]) == (code, "future")


def test_what_was_seen_before_may_be_nothing_but_not_malformed() -> None:
    check_predict(predict(historic=None), LIMITS)
    check_predict(predict(historic={"columns": ["location"], "data": []}), LIMITS)
    with pytest.raises(UnprocessableError) as caught:
        check_predict(predict(historic={"columns": ["location"], "data": [["a"]]}), LIMITS)
    assert (caught.value.code, caught.value.extensions["frame"]) == ("frame-columns-missing", "historic")


@pytest.mark.parametrize("periods", [2, 7])
@pytest.mark.parametrize("spelling", ["prediction_periods", "prediction_length"])
def test_a_horizon_out_of_bounds_is_refused(periods: int, spelling: str) -> None:
    with pytest.raises(UnprocessableError) as caught:
        check_predict(predict(run_info={spelling: periods}), LIMITS)
    assert caught.value.code == "prediction-periods-out-of-bounds"
    assert (caught.value.extensions["expected"], caught.value.extensions["found"]) == ([3, 6], periods)


@pytest.mark.parametrize("periods", [3, 6])
def test_a_horizon_within_bounds_is_accepted(periods: int) -> None:
    check_predict(predict(run_info={"prediction_periods": periods}), LIMITS)


def test_older_clients_train_with_a_horizon_of_one() -> None:
    check_train(train(run_info={"prediction_length": 1}), LIMITS)
    with pytest.raises(UnprocessableError):
        check_train(train(run_info={"prediction_length": 7}), LIMITS)


def test_polygons_are_asked_for_only_where_they_are_needed() -> None:
    check_train(train(), RunLimits())
    check_train(train(geo=NO_PLACES), RunLimits(requires_geo=True))
    for check in (lambda: check_train(train(), RunLimits(requires_geo=True)),):
        with pytest.raises(UnprocessableError) as caught:
            check()
        assert (caught.value.code, caught.value.extensions["field"]) == ("geo-missing", "geo")

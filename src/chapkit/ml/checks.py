"""Refuse what cannot work before it is accepted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chapkit.core.errors import UnprocessableError
from chapkit.data.frame import DataFrame
from chapkit.ml.schemas import PredictRequest, RunInfo, TrainRequest


@dataclass(frozen=True)
class RunLimits:
    """What a service demands of the data of a run."""

    required_columns: tuple[str, ...] = ()
    min_periods: int = 0
    max_periods: int | None = None
    requires_geo: bool = False


def check_train(request: TrainRequest, limits: RunLimits) -> None:
    """Look at the frame and the horizon of a training, which may be shorter than what is predicted later.

    Raises:
        UnprocessableError: Something is missing or malformed; `code` and `frame` say what and where.
    """
    request.data.check(name="data", required=limits.required_columns, allow_no_rows=False)
    # Widespread clients train with a horizon of 1, whatever they will ask for.
    _check_common(request.run_info, request.geo is not None, replace(limits, min_periods=0))


def check_predict(request: PredictRequest, limits: RunLimits) -> None:
    """Look at the frames and the horizon of a prediction.

    Raises:
        UnprocessableError: Something is missing or malformed; `code` and `frame` say what and where.
    """
    request.future.check(name="future", required=limits.required_columns, allow_no_rows=False)
    if request.historic is not None and (request.historic.columns or request.historic.data):
        request.historic.check(name="historic", required=_of(request.historic, limits.required_columns))
    _check_common(request.run_info, request.geo is not None, limits)


def _of(frame: DataFrame, columns: Sequence[str]) -> Sequence[str]:
    return columns if frame.data else ()


def _check_common(run_info: RunInfo | None, has_geo: bool, limits: RunLimits) -> None:
    if limits.requires_geo and not has_geo:
        raise UnprocessableError("This model needs polygons: send them as `geo`", code="geo-missing", field="geo")
    periods = run_info.prediction_periods if run_info is not None else None
    if periods is None or limits.max_periods is None:
        return
    if not limits.min_periods <= periods <= limits.max_periods:
        raise UnprocessableError(
            f"This model predicts {limits.min_periods} to {limits.max_periods} periods; {periods} were asked for",
            code="prediction-periods-out-of-bounds",
            field="run_info.prediction_periods",
            expected=[limits.min_periods, limits.max_periods],
            found=periods,
        )

"""Train models and predict with them."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.ml.decorators import predict as predict
    from chapkit.ml.decorators import train as train
    from chapkit.ml.feature import MLFeature as MLFeature
    from chapkit.ml.runner import BaseModelRunner as BaseModelRunner
    from chapkit.ml.runner import FunctionalModelRunner as FunctionalModelRunner
    from chapkit.ml.runner import ModelRunner as ModelRunner
    from chapkit.ml.schemas import PredictRequest as PredictRequest
    from chapkit.ml.schemas import PredictResponse as PredictResponse
    from chapkit.ml.schemas import RunInfo as RunInfo
    from chapkit.ml.schemas import TrainRequest as TrainRequest
    from chapkit.ml.schemas import TrainResponse as TrainResponse

_MODULES: dict[str, tuple[str, ...]] = {
    "chapkit.ml.decorators": ("predict", "train"),
    "chapkit.ml.feature": ("MLFeature",),
    "chapkit.ml.runner": (
        "BaseModelRunner",
        "FunctionalModelRunner",
        "ModelRunner",
    ),
    "chapkit.ml.schemas": (
        "PredictRequest",
        "PredictResponse",
        "RunInfo",
        "TrainRequest",
        "TrainResponse",
    ),
}
_NAMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

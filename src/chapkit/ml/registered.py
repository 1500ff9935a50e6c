"""The two functions that were registered as one runner."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from chapkit.task.catalogue import Catalogue
from chapkit.task.declaration import Declaration
from chapkit.task.errors import TaskFunctionUnknownError, did_you_mean, nearest

_TRAIN, _PREDICT = "ml_train", "ml_predict"
_VERBS: Final[Mapping[str, str]] = MappingProxyType({_TRAIN: "trains", _PREDICT: "predicts"})


class RunnerUnknownError(TaskFunctionUnknownError):
    """At least one of the two functions of a runner was not registered."""


def find_functions(name: str, catalogue: Catalogue) -> tuple[Declaration, Declaration]:
    """Return the function that trains and the one that predicts.

    Raises:
        RunnerUnknownError: One of them is missing, or both are (`task-function-unknown`).
    """
    train, predict = catalogue.find(name, _TRAIN), catalogue.find(name, _PREDICT)
    if train is not None and predict is not None:
        return train, predict
    present = train or predict
    if present is None:
        known = {*catalogue.names(_TRAIN), *catalogue.names(_PREDICT)}
        near = did_you_mean(nearest(name, known))
        way_out = f'register its two functions with @train("{name}") and @predict("{name}"), and import their module'
        detail = f"No runner is registered as '{name}'{near}; {way_out} before the service is built"
        raise RunnerUnknownError(name, _TRAIN, known, detail)
    missing = _PREDICT if present is train else _TRAIN
    known = set(catalogue.names(missing))
    raise RunnerUnknownError(
        name,
        missing,
        known,
        f"The runner '{name}' has no function that {_VERBS[missing]}, only the one that {_VERBS[present.type]}: "
        f"{present.label} ({present.place}){did_you_mean(nearest(name, known))}; register the other one with "
        f'@{missing.removeprefix("ml_")}("{name}") of chapkit.ml, and import its module before the service is built',
    )

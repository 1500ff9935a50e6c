from typing import Any

import pytest

from chapkit.config.schemas import BaseConfig
from chapkit.core.errors import ConfigurationError
from chapkit.ml import BaseModelRunner, FunctionalModelRunner


class Options(BaseConfig):
    alpha: float = 0.5


class Runner(BaseModelRunner[Options]):
    async def on_train(self, config: Options, data: Any, geo: Any = None) -> Any: ...

    def on_predict(self, config: Options, model: Any, historic: Any, future: Any, geo: Any = None) -> Any: ...


class Half(BaseModelRunner):
    def on_train(self, config: Any, data: Any) -> Any: ...


def test_a_class_hands_over_its_methods() -> None:
    runner = Runner()
    assert runner.functions().train == runner.on_train
    assert runner.functions().predict == runner.on_predict


def test_a_class_without_a_method_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Half has no method on_predict") as caught:
        Half().functions()
    assert (caught.value.code, caught.value.extensions["field"]) == ("runner-method-missing", "on_predict")


def test_two_functions_are_a_runner() -> None:
    runner = FunctionalModelRunner[Options](print, on_predict=len)
    assert (runner.functions().train, runner.functions().predict) == (print, len)

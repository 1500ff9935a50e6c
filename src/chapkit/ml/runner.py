"""What a user hands over: two functions, or an object with two methods."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self

from typing_extensions import TypeVar

from chapkit.config.schemas import BaseConfig
from chapkit.core.errors import ConfigurationError
from chapkit.job.policies import Retry

if TYPE_CHECKING:
    from chapkit.task.declaration import Declaration
    from chapkit.task.registry import Registry

PROCESS, THREAD = "process", "thread"
ConfigT = TypeVar("ConfigT", bound=BaseConfig, default=BaseConfig)
UserFunction = Callable[..., Any]


@dataclass(frozen=True)
class RunnerFunctions:
    """The two functions of a runner, as the user wrote them."""

    train: UserFunction
    predict: UserFunction


@dataclass(frozen=True)
class RunOptions:
    """What was said of a function where it was registered."""

    retry: Retry | None = None
    timeout: float | None = None
    queue: str | None = None
    tags: tuple[str, ...] = ()
    executor: str | None = None
    """Where it runs, whatever its runner says."""


class ModelRunner:
    """Anything that can train and predict; its functions never run on the loop that serves requests."""

    executor: str | None = None
    """`"process"` runs the functions in child processes; without it they run in threads or on a loop of their own."""
    train_options: RunOptions = RunOptions()
    predict_options: RunOptions = RunOptions()

    def functions(self) -> RunnerFunctions:
        """Return `train(config, data, geo)` and `predict(config, model, historic, future, geo)`."""
        raise NotImplementedError

    def is_same(self, other: "ModelRunner") -> bool:
        """Tell whether `other` trains and predicts with the same functions."""
        return self is other

    async def on_init(self) -> None:
        """Run once before the first request."""

    async def on_cleanup(self) -> None:
        """Run once after the last request."""


class BaseModelRunner(ModelRunner, Generic[ConfigT]):
    """Base class for runners with a state of their own; methods may be `def` or `async def`."""

    on_train: UserFunction
    """`on_train(config, data, geo=None)` returns the model, any object that can be pickled."""
    on_predict: UserFunction
    """`on_predict(config, model, historic, future, geo=None)` returns a frame."""

    def functions(self) -> RunnerFunctions:
        """Return the two methods of the subclass.

        Raises:
            ConfigurationError: It lacks one of them (`runner-method-missing`).
        """
        missing = [name for name in ("on_train", "on_predict") if not hasattr(self, name)]
        if missing:
            raise ConfigurationError(
                f"{type(self).__qualname__} has no method {' and no method '.join(missing)}",
                code="runner-method-missing",
                field=missing[0],
                found=type(self).__qualname__,
            )
        return RunnerFunctions(self.on_train, self.on_predict)


class FunctionalModelRunner(ModelRunner, Generic[ConfigT]):
    """A runner made of two functions, `def` or `async def`.

    Data arrive as what the parameter is annotated with: a pandas frame where it is not annotated, or
    `chapkit.data.DataFrame`, `pyarrow.Table`, `polars.DataFrame`, or a type that the service registered.

    Args:
        on_train: `on_train(config, data, geo)` returns the model; `geo` may be left out.
        on_predict: `on_predict(config, model, historic, future, geo)` returns a frame; `geo` may be left out.
        executor: `"process"` runs both in child processes, which import them by their names.
    """

    def __init__(self, on_train: UserFunction, on_predict: UserFunction, *, executor: str | None = None) -> None:
        self.on_train = on_train
        self.on_predict = on_predict
        self.executor = executor

    @classmethod
    def from_registry(cls, name: str, registry: "Registry | None" = None) -> Self:
        """Return the runner whose functions were registered under a name, as `ml_train` and `ml_predict`.

        Args:
            name: Such as `"ewars"`, or `"climate/ewars"` below a namespace.
            registry: Where to look; the one of `TaskRegistry`, if left out.

        Raises:
            RunnerUnknownError: One of the two is missing, or both are (`task-function-unknown`).
        """
        # Lazy: a runner that is made by hand needs no registry.
        from chapkit.ml.registered import find_functions
        from chapkit.task.registry import TaskRegistry

        train, predict = find_functions(name, (registry or TaskRegistry.default).snapshot())
        # What only one of the two says holds for both; threads are what a runner has that says nothing.
        executor = PROCESS if PROCESS in (train.executor, predict.executor) else None
        runner = cls(train.function, predict.function, executor=executor)
        runner.train_options, runner.predict_options = _options_of(train), _options_of(predict)
        return runner

    def functions(self) -> RunnerFunctions:
        """Return the two functions."""
        return RunnerFunctions(self.on_train, self.on_predict)

    def is_same(self, other: ModelRunner) -> bool:
        """Tell whether `other` trains and predicts with the same functions."""
        return isinstance(other, FunctionalModelRunner) and self.functions() == other.functions()


def _options_of(declared: "Declaration") -> RunOptions:
    return RunOptions(declared.retry, declared.timeout, declared.queue, declared.tags, declared.executor)

"""Where the functions of a runner run."""

from chapkit.core.errors import ConfigurationError
from chapkit.job.executors.importable import require_importable
from chapkit.ml.runner import PROCESS, THREAD, ModelRunner, RunnerFunctions, RunOptions


def check_executor(runner: ModelRunner, functions: RunnerFunctions) -> None:
    """Go on, if there is such an executor and the functions can run in it.

    Raises:
        ConfigurationError: There is none (`runner-executor-unknown`), or a function cannot be imported
            by a child process (`function-not-importable`).
    """
    executor = runner.executor
    if executor not in (None, PROCESS):
        raise ConfigurationError(
            f'There is no executor {executor!r} for a runner; use "{PROCESS}", or leave it out for threads',
            code="runner-executor-unknown",
            found=executor,
            expected=[PROCESS],
        )
    steps = ((functions.train, runner.train_options), (functions.predict, runner.predict_options))
    for function, options in steps:
        if executor_of(runner, options) == PROCESS:
            require_importable(function)


def executor_of(runner: ModelRunner, options: RunOptions) -> str | None:
    """Return where one of the two functions runs; `None` stands for threads and loops of this process."""
    chosen = options.executor or runner.executor
    return None if chosen == THREAD else chosen

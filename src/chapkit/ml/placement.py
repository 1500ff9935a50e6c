"""Where the functions of a runner run."""

from chapkit.core.errors import ConfigurationError
from chapkit.job.executors.importable import require_importable
from chapkit.ml.runner import RunnerFunctions

PROCESS = "process"


def check_executor(executor: str | None, functions: RunnerFunctions) -> None:
    """Go on, if there is such an executor and the functions can run in it.

    Raises:
        ConfigurationError: There is none (`runner-executor-unknown`), or a function cannot be imported
            by a child process (`function-not-importable`).
    """
    if executor is None:
        return
    if executor != PROCESS:
        raise ConfigurationError(
            f'There is no executor {executor!r} for a runner; use "{PROCESS}", or leave it out for threads',
            code="runner-executor-unknown",
            found=executor,
            expected=[PROCESS],
        )
    require_importable(functions.train)
    require_importable(functions.predict)

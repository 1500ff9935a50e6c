"""Child processes that import the script which was started."""

import sys

from chapkit.core.errors import ConfigurationError


def refuse_in_child() -> None:
    """Let no service start in a child process, which imports the script that was started.

    Raises:
        ConfigurationError: This is such a child (`service-in-child`).
    """
    process = sys.modules.get("multiprocessing.process")
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise ConfigurationError(
            "A child process imports the script that was started; put the call in it that starts the service below "
            '`if __name__ == "__main__":`',
            code="service-in-child",
        )

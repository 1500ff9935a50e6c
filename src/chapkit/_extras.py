"""Import packages of an extra, or say which extra brings them."""

import importlib
from types import ModuleType

from chapkit.core.errors import MissingExtraError


def requires_extra(module: str, extra: str) -> ModuleType:
    """Return the imported `module`, or raise the error that names its `extra`."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"'{package}' is not installed; run: pip install 'chapkit[{extra}]'",
            code="extra-missing",
            extra=extra,
        ) from error

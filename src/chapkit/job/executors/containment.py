"""Keep what a user's function may do to itself."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from chapkit.core.error_text import text_of
from chapkit.job.errors import ProcessExitError

T = TypeVar("T")


def contained(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call the function; `sys.exit()` and the like become errors of the job."""
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        raise RuntimeError(f"The function raised StopIteration: {text_of(error)}") from error
    except Exception:
        raise
    except BaseException as error:
        raise ProcessExitError(error) from error


async def contained_async(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Await what the function returns; `sys.exit()` and the like become errors of the job."""
    try:
        return await function(*args, **kwargs)
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise ProcessExitError(error) from error


async def settle(future: asyncio.Future[T], ask: Callable[[], object]) -> T:
    """Return the result once the work has really ended; a cancelled caller calls `ask` and goes on waiting."""
    canceled = False
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            canceled = True
            ask()
    if not canceled:
        return future.result()
    if not future.cancelled():
        future.exception()
    raise asyncio.CancelledError

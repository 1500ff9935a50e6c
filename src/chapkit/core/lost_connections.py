"""What tells that a connection to PostgreSQL is of no more use, though it is not closed yet."""

from sqlalchemy import ExceptionContext

_ENDED = ("08", "57P", "25P03", "25P04")
"""SQLSTATEs of a server that ends the connection; it says so a moment before it does it."""
_AFTER_THE_END = "cannot switch to state"
"""What asyncpg says of a statement in that moment."""


def notice_end(context: ExceptionContext) -> None:
    """Let the pool make a new connection in place of one that is about to be closed; for the event `handle_error`."""
    error = context.original_exception
    state = getattr(error, "sqlstate", None)
    if (isinstance(state, str) and state.startswith(_ENDED)) or _AFTER_THE_END in str(error):
        context.is_disconnect = True

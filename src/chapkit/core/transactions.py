"""What a session knows of the scope that it works for."""

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.errors import ConfigurationError
from chapkit.core.events import Event

WRITE_OPTION = "chapkit_write"
"""Execution option of a connection whose transaction begins as a writer."""
_SCOPE = "scope"


class EventSink(Protocol):
    """Takes the events of a transaction."""

    writes: bool
    """Whether what is done is committed."""

    async def emit(self, event: Event) -> None:
        """Tell everybody who cares, inside of the transaction."""
        ...


def bind_scope(session: AsyncSession, scope: EventSink) -> None:
    """Let `scope` commit what is done on `session`, and hear of it."""
    session.info[_SCOPE] = scope


def is_scoped(session: AsyncSession) -> bool:
    """Tell whether a scope commits this session."""
    return _SCOPE in session.info


def require_writer(session: AsyncSession) -> None:
    """Refuse to write in a unit of work that only reads, where it would be lost.

    Raises:
        ConfigurationError: It was opened for reading (`scope-reads-only`).
    """
    scope = session.info.get(_SCOPE)
    if scope is not None and not scope.writes:
        raise ConfigurationError(
            "This unit of work only reads, so nothing written in it would be kept; open scope.write() instead, "
            "or use POST, PUT, PATCH or DELETE for a route that writes",
            code="scope-reads-only",
        )


async def emit(session: AsyncSession, event: Event) -> None:
    """Hand the event to the session's scope, if it has one."""
    scope = session.info.get(_SCOPE)
    if scope is not None:
        await scope.emit(event)


async def begin_write(session: AsyncSession) -> None:
    """Begin the transaction of a session as a writer, unless one is open already."""
    if not session.in_transaction():
        await session.connection(execution_options={WRITE_OPTION: True})

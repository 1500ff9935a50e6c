"""What a session knows of the scope that it works for."""

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.events import Event

WRITE_OPTION = "chapkit_write"
"""Execution option of a connection whose transaction begins as a writer."""
_SCOPE = "scope"


class EventSink(Protocol):
    """Takes the events of a transaction."""

    async def emit(self, event: Event) -> None:
        """Tell everybody who cares, inside of the transaction."""
        ...


def bind_scope(session: AsyncSession, scope: EventSink) -> None:
    """Let `scope` commit what is done on `session`, and hear of it."""
    session.info[_SCOPE] = scope


def is_scoped(session: AsyncSession) -> bool:
    """Tell whether a scope commits this session."""
    return _SCOPE in session.info


async def emit(session: AsyncSession, event: Event) -> None:
    """Hand the event to the session's scope, if it has one."""
    scope = session.info.get(_SCOPE)
    if scope is not None:
        await scope.emit(event)


async def begin_write(session: AsyncSession) -> None:
    """Begin the transaction of a session as a writer, unless one is open already."""
    if not session.in_transaction():
        await session.connection(execution_options={WRITE_OPTION: True})

"""Find out whether a pooler stands before PostgreSQL that gives each transaction another session.

Locks that tell who lives, `LISTEN` and prepared statements belong to a session: with such a pooler they would belong
to whoever comes next.
"""

from sqlalchemy import URL, event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from chapkit.core.connecting import connect
from chapkit.core.errors import ConfigurationError

PREPARED_ELSEWHERE = ("26000", "42P05")
"""SQLSTATEs of statements that another client has prepared, or only another session has."""
_SESSION = select(func.pg_backend_pid())


async def require_own_session(url: URL) -> None:
    """Look whether two connections that are open at the same time have a session each.

    Raises:
        ConfigurationError: They share one (`database-pooler-unsuitable`).
    """
    engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True)
    event.listen(engine.sync_engine, "do_connect", connect)
    try:
        is_shared = await _share_a_session(engine)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in PREPARED_ELSEWHERE:
            raise
        is_shared = True
    finally:
        await engine.dispose()
    if is_shared:
        raise unsuitable()


def unsuitable() -> ConfigurationError:
    """Return the error that says what is wrong and the way out."""
    return ConfigurationError(
        "The database is behind a pooler that gives each transaction another session, but locks, LISTEN and prepared "
        "statements need one of their own; connect to the server itself, or let the pooler pool sessions "
        "(pool_mode = session)",
        code="database-pooler-unsuitable",
    )


async def _share_a_session(engine: AsyncEngine) -> bool:
    async with engine.connect() as first, engine.connect() as second:
        session = await first.scalar(_SESSION)
        # From here on, such a pooler gives the first one's session to the next one to ask.
        await first.rollback()
        return bool(session == await second.scalar(_SESSION))

"""How long a statement on PostgreSQL waits for what somebody else holds locked; SQLite has a limit of its own."""

from typing import Any

from sqlalchemy import text

LOCK_TIMEOUT = "5s"
"""After this a statement fails: who holds a lock for so long may be stopped, and waits fill the pool."""
# Whoever has set a limit for the server, the database or the user has meant it.
_LIMIT = "SELECT set_config('lock_timeout', '{}', false) WHERE current_setting('lock_timeout') = '0'"
WAIT_FOR_EVER = text("SET LOCAL lock_timeout = 0")
"""Lifts the limit to the end of a transaction, for a lock that is worth every wait."""


def limit_waits(connection: Any, _record: object) -> None:
    """Set the limit on a new connection of a pool; a parameter of the start would be refused by some poolers."""
    cursor = connection.cursor()
    cursor.execute(_LIMIT.format(LOCK_TIMEOUT))
    cursor.close()
    connection.commit()

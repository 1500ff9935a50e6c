"""How long a statement on PostgreSQL waits for what somebody else holds locked; SQLite has a limit of its own."""

from typing import Any

from sqlalchemy import text

from chapkit.core.keepalive import SERVER_SETTINGS

LOCK_TIMEOUT = "5s"
"""After this a statement fails: who holds a lock for so long may be stopped, and waits fill the pool."""
# Whoever has set something for the server, the database or the user has meant it.
_SET = "SELECT set_config(name, value, false) FROM (VALUES {}) AS wanted (name, value) JOIN pg_settings USING (name)"
_UNLESS_SET = " WHERE source = 'default'"
WAIT_FOR_EVER = text("SET LOCAL lock_timeout = 0")
"""Lifts the limit to the end of a transaction, for a lock that is worth every wait."""


def limit_waits(connection: Any, _record: object) -> None:
    """Set the limits on a new connection of a pool; parameters of the start would be refused by some poolers."""
    wanted = {"lock_timeout": LOCK_TIMEOUT, **SERVER_SETTINGS}
    cursor = connection.cursor()
    cursor.execute(_SET.format(", ".join(f"('{name}', '{value}')" for name, value in wanted.items())) + _UNLESS_SET)
    cursor.close()
    connection.commit()

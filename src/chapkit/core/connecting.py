"""A new connection to a PostgreSQL server, or an error within seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.exc import OperationalError

CONNECT_TIMEOUT = 10
"""Seconds to wait for a server that does not even refuse."""
_NAMES = {"asyncpg": "timeout", "psycopg": "connect_timeout"}


def connect(dialect: Dialect, _record: object, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Connect to the server; for the event `do_connect` of an engine."""
    # What the URL of the database sets was meant.
    patience = {_NAMES[dialect.driver]: CONNECT_TIMEOUT} if dialect.driver in _NAMES else {}
    try:
        return dialect.connect(*arguments, **{**patience, **options})
    except OSError as error:
        # Drivers differ in whether they make an error of the database of it.
        raise OperationalError("CONNECT", None, error, hide_parameters=True) from error

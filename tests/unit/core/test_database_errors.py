import sqlite3

import pytest
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InvalidRequestError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
    TimeoutError,
)
from sqlalchemy.exc import IntegrityError as SqlIntegrityError

from chapkit.core.database_errors import translate
from chapkit.core.errors import NotFoundError

SQL = "SELECT secret FROM passwords"


def _operational(text: str) -> OperationalError:
    return OperationalError(SQL, {"p": "hunter2"}, sqlite3.OperationalError(text))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (_operational("database is locked"), "database-busy"),
        (_operational("database or disk is full"), "disk-full"),
        (_operational("attempt to write a readonly database"), "database-read-only"),
        (_operational("unable to open database file"), "database-unreachable"),
        (_operational("no such table: passwords"), "database-error"),
        (SqlIntegrityError(SQL, None, sqlite3.IntegrityError("UNIQUE constraint failed")), "constraint-violated"),
        (DataError(SQL, None, sqlite3.DataError("too big")), "value-not-storable"),
        (StatementError("bad", SQL, None, ValueError("x")), "value-not-storable"),
        (StatementError("bad", SQL, None, NotFoundError("gone", code="thing-gone")), "thing-gone"),
        (TimeoutError("QueuePool limit reached"), "database-pool-exhausted"),
        (InvalidRequestError("odd"), "database-error"),
        (DBAPIError(SQL, None, Exception("connection was closed")), "database-unreachable"),
    ],
)
def test_an_error_of_the_database_gets_a_code_and_tells_no_secret(error: SQLAlchemyError, code: str) -> None:
    translated = translate(error)
    assert translated.code == code
    assert "passwords" not in str(translated)
    assert "hunter2" not in str(translated)

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


class ServerError(Exception):
    """What a driver of PostgreSQL raises."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("something about passwords")
        self.sqlstate = sqlstate


class FileError(sqlite3.OperationalError):
    """What SQLite raises, with its number."""

    def __init__(self, number: int) -> None:
        super().__init__("something about passwords")
        self.sqlite_errorcode = number


def _numbered(original: Exception) -> DBAPIError:
    return DBAPIError(SQL, {"p": "hunter2"}, original)


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
        (_operational("invalid byte sequence"), "value-not-storable"),
        (_operational("the server is starting up"), "database-unreachable"),
        (_numbered(ConnectionRefusedError(111, "Connect call failed")), "database-unreachable"),
        (_numbered(OSError(113, "No route to host")), "database-unreachable"),
        (DBAPIError(SQL, None, Exception("odd"), connection_invalidated=True), "database-unreachable"),
        (_numbered(ServerError(None)), "database-error"),
        (_numbered(ServerError("42P01")), "database-error"),
        (_numbered(ServerError("57P01")), "database-unreachable"),
        (_numbered(ServerError("08006")), "database-unreachable"),
        (_numbered(ServerError("22021")), "value-not-storable"),
        (_numbered(ServerError("25006")), "database-read-only"),
        (_numbered(ServerError("28P01")), "database-refused"),
        (_numbered(ServerError("3D000")), "database-refused"),
        (_numbered(ServerError("40001")), "database-busy"),
        (_numbered(ServerError("53100")), "disk-full"),
        (_numbered(ServerError("53300")), "database-busy"),
        (_numbered(ServerError("57014")), "database-busy"),
        (_numbered(ServerError("58030")), "database-disk-failed"),
        (_numbered(FileError(sqlite3.SQLITE_BUSY_SNAPSHOT)), "database-busy"),
        (_numbered(FileError(sqlite3.SQLITE_FULL)), "disk-full"),
        (_numbered(FileError(sqlite3.SQLITE_READONLY_DBMOVED)), "database-read-only"),
        (_numbered(FileError(sqlite3.SQLITE_IOERR_WRITE)), "database-disk-failed"),
        (_numbered(FileError(sqlite3.SQLITE_CANTOPEN)), "database-unreachable"),
        (_numbered(FileError(sqlite3.SQLITE_CORRUPT)), "database-damaged"),
        (_numbered(FileError(sqlite3.SQLITE_ERROR)), "database-error"),
        (DBAPIError(SQL, None, Exception("connection was closed")), "database-unreachable"),
    ],
)
def test_an_error_of_the_database_gets_a_code_and_tells_no_secret(error: SQLAlchemyError, code: str) -> None:
    translated = translate(error)
    assert translated.code == code
    assert "passwords" not in str(translated)
    assert "hunter2" not in str(translated)

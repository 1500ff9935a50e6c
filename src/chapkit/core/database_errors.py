"""What a database says, as errors that a user understands."""

import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import IntegrityError as SqlIntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from chapkit.core.errors import (
    ChapkitError,
    ConflictError,
    DatabaseBusyError,
    StorageFullError,
    UnavailableError,
    UnprocessableError,
)
from chapkit.core.poolers import PREPARED_ELSEWHERE, unsuitable

_Maker = Callable[[], ChapkitError]


@contextmanager
def translating() -> Generator[None]:
    """Raise what a database says inside of the block as `translate` has it."""
    try:
        yield
    except SQLAlchemyError as error:
        raise translate(error) from error


def translate(error: SQLAlchemyError) -> ChapkitError:
    """Return the error that says what happened without a word of SQL or of a driver."""
    original = error.__cause__ if isinstance(error.__cause__, ChapkitError) else getattr(error, "orig", None)
    if isinstance(original, ChapkitError):
        return original
    if isinstance(error, PoolTimeoutError):
        return UnavailableError("All database connections are in use; try again", code="database-pool-exhausted")
    if isinstance(error, SqlIntegrityError):
        return ConflictError(
            "The change breaks a rule of the stored data: a value that must be unique exists already, "
            "or something refers to what is missing",
            code="constraint-violated",
        )
    if isinstance(error, DataError) or (isinstance(error, StatementError) and not isinstance(error, DBAPIError)):
        return _unstorable()
    if isinstance(error, OperationalError | InterfaceError | DBAPIError):
        return _translate_operational(error)
    return _unexplained()


def _translate_operational(error: DBAPIError) -> ChapkitError:
    maker = _by_number(error.orig) or _by_text(str(error.orig).lower())
    if maker is not None:
        return maker()
    # A connection cannot be made for many reasons, each with a text of its own.
    return _unreachable() if error.connection_invalidated or isinstance(error.orig, OSError) else _unexplained()


def _by_number(original: BaseException | None) -> _Maker | None:
    state = getattr(original, "sqlstate", None)
    if isinstance(state, str):
        return next((_BY_STATE[state[:length]] for length in (5, 3, 2) if state[:length] in _BY_STATE), None)
    number = getattr(original, "sqlite_errorcode", None)
    # The lower eight bits tell the kind, the others the exact place.
    return _BY_SQLITE_CODE.get(number & 0xFF) if isinstance(number, int) else None


def _by_text(text: str) -> _Maker | None:
    return next((maker for words, maker in _BY_WORDS.items() if any(word in text for word in words)), None)


def _unstorable() -> ChapkitError:
    return UnprocessableError("A value does not fit into its column", code="value-not-storable")


def _busy() -> ChapkitError:
    return DatabaseBusyError("The database was held by another writer for too long; try again", code="database-busy")


def _overloaded() -> ChapkitError:
    return DatabaseBusyError("The database has too much to do at the moment; try again", code="database-busy")


def _full() -> ChapkitError:
    return StorageFullError("There is no room left where the database lies", code="disk-full")


def _read_only() -> ChapkitError:
    return UnavailableError("The database cannot be written to", code="database-read-only")


def _unreachable() -> ChapkitError:
    return UnavailableError("The database cannot be reached; try again", code="database-unreachable")


def _unopened() -> ChapkitError:
    return UnavailableError(
        "The file of the database cannot be opened; look at its folder, at the rights of both and at the disk",
        code="database-unreachable",
    )


def _refused() -> ChapkitError:
    return UnavailableError(
        "The database does not let this service in; look at the user, the password and the name in its URL",
        code="database-refused",
    )


def _failing() -> ChapkitError:
    return UnavailableError(
        "The disk on which the database lies does not read or write as it should; is it full, or broken?",
        code="database-disk-failed",
    )


def _damaged() -> ChapkitError:
    return ChapkitError("The file of the database is damaged; restore it from a backup", code="database-damaged")


def _unexplained() -> ChapkitError:
    return ChapkitError("The database could not carry this out", code="database-error")


_BY_SQLITE_CODE: Mapping[int, _Maker] = {
    sqlite3.SQLITE_BUSY: _busy,
    sqlite3.SQLITE_LOCKED: _busy,
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_READONLY: _read_only,
    sqlite3.SQLITE_CANTOPEN: _unopened,
    sqlite3.SQLITE_IOERR: _failing,
    sqlite3.SQLITE_CORRUPT: _damaged,
    sqlite3.SQLITE_NOTADB: _damaged,
}
_BY_STATE: Mapping[str, _Maker] = {
    "08": _unreachable,
    "22": _unstorable,
    "25006": _read_only,
    "25P03": _unreachable,
    "25P04": _unreachable,
    **dict.fromkeys(PREPARED_ELSEWHERE, unsuitable),
    "28": _refused,
    "3D": _refused,
    "40": _busy,
    "53": _overloaded,
    "53100": _full,
    "55P03": _busy,
    "57014": _overloaded,
    "57P": _unreachable,
    "58": _failing,
}
"""By the whole SQLSTATE, by its class, or by what lies between."""
_BY_WORDS: Mapping[tuple[str, ...], _Maker] = {
    ("invalid byte sequence", "out of range"): _unstorable,
    ("locked", "busy"): _busy,
    ("no space", "is full"): _full,
    ("readonly", "read-only"): _read_only,
    ("connect", "closed", "unable to open", "resolve host", "starting up", "shutting down"): _unreachable,
}
"""For drivers that give no number."""

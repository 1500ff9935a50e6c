"""What a database says, as errors that a user understands."""

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
        return UnprocessableError("A value does not fit into its column", code="value-not-storable")
    if isinstance(error, OperationalError | InterfaceError | DBAPIError):
        return _translate_operational(error)
    return ChapkitError("The database could not carry this out", code="database-error")


def _translate_operational(error: DBAPIError) -> ChapkitError:
    text = str(error.orig).lower()
    if "invalid byte sequence" in text or "out of range" in text:
        return UnprocessableError("A value does not fit into its column", code="value-not-storable")
    if "locked" in text or "busy" in text:
        return DatabaseBusyError(
            "The database was held by another writer for too long; try again", code="database-busy"
        )
    if "full" in text or "no space" in text:
        return StorageFullError("There is no room left where the database lies", code="disk-full")
    if "readonly" in text or "read-only" in text:
        return UnavailableError("The database cannot be written to", code="database-read-only")
    if error.connection_invalidated or "connect" in text or "closed" in text or "unable to open" in text:
        return UnavailableError("The database cannot be reached; try again", code="database-unreachable")
    return ChapkitError("The database could not carry this out", code="database-error")

"""Which way news of jobs takes to the other processes of a database."""

from chapkit.core.database import Database
from chapkit.core.sqlite import SqliteDatabase
from chapkit.job.notices import NoNotices, Notices
from chapkit.job.notices_sqlite import SqliteNotices


def notices_for(database: Database) -> Notices:
    """Return what suits the database."""
    if database.is_in_memory():
        return NoNotices()
    if isinstance(database, SqliteDatabase):
        return SqliteNotices(database)
    # Lazy: only on PostgreSQL.
    from chapkit.job.notices_postgres import PostgresNotices

    return PostgresNotices(database)

"""Reads of one statement that need neither the ORM nor a transaction.

SQLAlchemy takes a few hundred microseconds to run a statement that SQLite answers in ten. Statements that do
not change are compiled once and handed to a connection that only reads. A session that has begun already
keeps its own view of the data, so there the same statement goes the usual way.
"""

import sqlite3
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol, cast

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.compiled import Compiled

_READER = "quick_reader"
Rows = Sequence[Sequence[Any]]


class QuickReader(Protocol):
    """Runs SQL text and returns all rows."""

    def fetch(self, sql: str, parameters: tuple[Any, ...]) -> Rows:
        """Return the rows, each with its values as they are stored."""
        ...

    def fetch_remembered(self, sql: str, parameters: tuple[Any, ...]) -> Rows:
        """Return the same; read again only when something was committed since."""
        ...


class Prepared:
    """A statement whose parameters are named by `bindparam` and whose columns need no conversion.

    Args:
        remember: Keep the rows until something is committed; for counts, which read a whole index.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]], *, remember: bool = False) -> None:
        self.statement = statement
        self._remember = remember

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self.statement)

    async def fetch(self, session: AsyncSession, **parameters: Any) -> Rows:
        """Return the rows, in the view of the session."""
        reader = cast("QuickReader | None", session.info.get(_READER))
        if reader is not None and not session.in_transaction():
            sql, values = self._compiled.sql, self._compiled.bind(parameters)
            try:
                return reader.fetch_remembered(sql, values) if self._remember else reader.fetch(sql, values)
            except sqlite3.OperationalError:
                # Another process holds the file in a way that readers must wait for; the session knows how to.
                pass
        return cast("Rows", (await session.execute(self.statement, parameters)).all())


def offer_quick_reader(session: AsyncSession, reader: QuickReader) -> None:
    """Let prepared statements of this session use `reader` as long as no transaction is open."""
    session.info[_READER] = reader

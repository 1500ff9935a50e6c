"""A statement as SQLite's driver takes it, compiled once."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.sqlite.aiosqlite import dialect as sqlite_dialect

_Binder: TypeAlias = tuple[str, Any, Any]


class Compiled:
    """SQL text and how its parameters are put in order; values that stand in the statement itself are kept."""

    def __init__(self, statement: ClauseElement) -> None:
        dialect = sqlite_dialect()
        compiled: Any = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        self._binders: Sequence[_Binder] = [_binder(compiled, name, dialect) for name in compiled.positiontup or ()]

    def bind(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the parameters in their order, each as it is stored."""
        return tuple(
            (processor(values[name]) if processor else values[name]) if name in values else constant
            for name, processor, constant in self._binders
        )


def _binder(compiled: Any, name: str, dialect: Any) -> _Binder:
    processor = compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
    constant = compiled.params.get(name)
    return name, processor, processor(constant) if processor else constant

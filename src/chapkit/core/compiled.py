"""A statement as SQLite's driver takes it, compiled once."""

from collections.abc import Mapping
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
        binders = [_binder(compiled, name, dialect) for name in compiled.positiontup or ()]
        self._constants = [constant for _, _, constant in binders]
        # Values that stand in the statement are never given; asking for them at each call adds up.
        self._places = [
            (place, name, processor) for place, (name, processor, constant) in enumerate(binders) if constant is None
        ]

    def bind(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the parameters in their order, each as it is stored."""
        bound = self._constants.copy()
        for place, name, processor in self._places:
            if name in values:
                value = values[name]
                bound[place] = processor(value) if processor else value
        return tuple(bound)


def _binder(compiled: Any, name: str, dialect: Any) -> _Binder:
    processor = compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
    constant = compiled.params.get(name)
    return name, processor, processor(constant) if processor else constant

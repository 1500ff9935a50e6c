"""What a schedule depends on, beside the clock."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from chapkit.core.ids import ULID
from chapkit.core.services import Scope


@dataclass(frozen=True)
class Subject:
    """The thing that a schedule is about."""

    task_id: ULID | None = None
    held_reason: str | None = None
    """Why it cannot run now."""


SubjectFinder: TypeAlias = Callable[[Scope, Mapping[str, Any]], Awaitable[Subject]]
_NOTHING = Subject()


class ScheduleSubjects:
    """Port: features say what the arguments of their target are about."""

    def __init__(self) -> None:
        self._finders: dict[str, SubjectFinder] = {}

    def add(self, target: str, finder: SubjectFinder) -> None:
        """Ask `finder` for the subjects of schedules with this target."""
        self._finders[target] = finder

    async def find(self, scope: Scope, target: str, arguments: Mapping[str, Any]) -> Subject:
        """Return what a schedule with these arguments is about."""
        finder = self._finders.get(target)
        return _NOTHING if finder is None else await finder(scope, arguments)

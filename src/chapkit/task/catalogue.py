"""The functions of one service: what was registered when it was built."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from chapkit.task.declaration import TASK, Declaration
from chapkit.task.errors import TaskFunctionUnknownError


class Catalogue:
    """Declarations by type and name; it never changes."""

    def __init__(self, declarations: Iterable[Declaration] = ()) -> None:
        ordered = sorted(declarations, key=lambda declaration: declaration.key)
        self._declarations: Mapping[tuple[str, str], Declaration] = MappingProxyType(
            {declaration.key: declaration for declaration in ordered}
        )

    def get(self, name: str, type: str = TASK) -> Declaration:
        """Return the declaration.

        Raises:
            TaskFunctionUnknownError: There is none of this type and name (`task-function-unknown`).
        """
        found = self.find(name, type)
        if found is None:
            raise TaskFunctionUnknownError(name, type, self.names(type))
        return found

    def find(self, name: str, type: str = TASK) -> Declaration | None:
        """Return the declaration, or `None`."""
        return self._declarations.get((type, name))

    def list(self, type: str = TASK) -> tuple[Declaration, ...]:
        """Return the declarations of a type, by name."""
        return tuple(each for each in self if each.type == type)

    def names(self, type: str = TASK) -> tuple[str, ...]:
        """Return the names of a type, sorted."""
        return tuple(each.name for each in self.list(type))

    def __iter__(self) -> Iterator[Declaration]:
        return iter(self._declarations.values())

    def __len__(self) -> int:
        return len(self._declarations)

    def __contains__(self, key: object) -> bool:
        return key in self._declarations

    def __getitem__(self, key: tuple[str, str]) -> Declaration:
        return self._declarations[key]

"""Rows of tasks."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.ids import ULID
from chapkit.core.repository import BaseRepository
from chapkit.task.models import Task
from chapkit.task.schemas import PYTHON
from chapkit.task.stored import FIND, StoredTask


class TaskRepository(BaseRepository[Task]):
    """Finds tasks by their state and by what they call."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session, Task)

    async def find_by_enabled(self, enabled: bool) -> Sequence[Task]:
        """Return the tasks that are enabled, or those that are not, the newest first."""
        statement = select(Task).where(Task.enabled == enabled)
        return (await self.session.scalars(statement.order_by(Task.created_at.desc(), Task.id.desc()))).all()

    async def find_all(self, *, enabled: bool | None = None) -> Sequence[Task]:
        """Return every task by id, or those in one state, the newest first."""
        return await super().find_all() if enabled is None else await self.find_by_enabled(enabled)

    async def find_by_command(self, command: str, limit: int) -> Sequence[Task]:
        """Return tasks with exactly this command."""
        statement = select(Task).where(Task.command == command).order_by(Task.id).limit(limit)
        return (await self.session.scalars(statement)).all()

    async def find_stored(self, id: ULID) -> StoredTask | None:
        """Return the columns of a task, or `None`; takes less time than the entity."""
        rows = await FIND.fetch(self.session, id=id)
        return StoredTask.from_row(rows[0]) if rows else None

    async def find_functions(self) -> Sequence[Task]:
        """Return the tasks that call functions, by id."""
        statement = select(Task).where(Task.task_type == PYTHON).order_by(Task.id)
        return (await self.session.scalars(statement)).all()

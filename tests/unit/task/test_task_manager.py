import pytest

from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError, NotFoundError
from chapkit.core.ids import ULID
from chapkit.task.manager import TaskManager
from chapkit.task.repository import TaskRepository
from chapkit.task.schemas import TaskIn

pytestmark = pytest.mark.anyio


async def test_a_script_needs_no_service_to_keep_tasks(database: Database) -> None:
    async with database.session() as session:
        tasks = TaskManager(TaskRepository(session))
        saved = await tasks.save(TaskIn(command="anything", task_type="python", parameters={"a": 1}))
        await tasks.save(TaskIn(command="later", enabled=False))
        assert (await tasks.get(saved.id)).parameters == {"a": 1}
        assert [task.command for task in await tasks.find_all(enabled=True)] == ["anything"]
        assert [task.command for task in await tasks.repository.find_by_enabled(False)] == ["later"]


async def test_a_manager_without_a_service_executes_nothing_and_says_what_it_lacks(database: Database) -> None:
    async with database.session() as session:
        with pytest.raises(ConfigurationError, match="requires a scheduler") as caught:
            await TaskManager(TaskRepository(session)).execute_task(ULID())
    assert caught.value.code == "task-not-wired"


async def test_a_task_that_is_not_there_is_not_found() -> None:
    from tests.service.task_calls import service
    from tests.serving import serving

    app = service()
    async with serving(app), app.state.services.scope.write() as scope:
        with pytest.raises(NotFoundError) as caught:
            await scope.get(TaskManager).execute_task(ULID())
    assert caught.value.code == "task-unknown"

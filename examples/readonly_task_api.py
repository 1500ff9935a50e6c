"""Tasks that clients may look at and run, but not change.

uvicorn examples.readonly_task_api:app
"""

from fastapi import FastAPI

from chapkit import ArtifactHierarchy
from chapkit.api import CrudPermissions, ServiceBuilder, ServiceInfo
from chapkit.task import Registry, TaskIn, TaskManager

registry = Registry()


@registry.register("greet")
def greet(name: str = "world") -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


async def seed(app: FastAPI) -> None:
    """Write the only task; the service's own code may still do so."""
    async with app.state.services.scope.write() as scope:
        tasks = scope.get(TaskManager)
        if await tasks.count() == 0:
            await tasks.save(TaskIn(command="greet", task_type="python"))


app = (
    ServiceBuilder(
        info=ServiceInfo(display_name="Greetings"), database_url="sqlite+aiosqlite:///data/readonly_task_api.db"
    )
    .with_health()
    .with_artifacts(hierarchy=ArtifactHierarchy(name="results", level_labels={0: "result"}))
    .with_jobs()
    .with_tasks(registry=registry, permissions=CrudPermissions(create=False, update=False, delete=False))
    .on_startup(seed)
    .build()
)

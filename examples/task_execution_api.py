"""Commands as tasks: stored, run on request, with their output kept.

uvicorn examples.task_execution_api:app

Whoever may create tasks here may run any command as the user of the service, so keep such a service to yourself.
"""

from fastapi import FastAPI

from chapkit import ArtifactHierarchy
from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.job import JobOptions
from chapkit.task import TaskIn, TaskManager

TEMPLATES = (
    TaskIn(command="date -u", tags=["seed"]),
    TaskIn(command="uname -s", tags=["seed"]),
    TaskIn(command="date > now.txt; ls", tags=["seed"]),
    TaskIn(command='echo "$CHAPKIT_PARAMETERS"', parameters={"district": "Bokeo"}, tags=["seed"]),
    TaskIn(command="sleep 60", job=JobOptions(timeout=1), tags=["seed"]),
)


async def seed(app: FastAPI) -> None:
    """Write five commands into an empty database."""
    async with app.state.services.scope.write() as scope:
        tasks = scope.get(TaskManager)
        if await tasks.count() == 0:
            await tasks.save_all(TEMPLATES)


app = (
    ServiceBuilder(
        info=ServiceInfo(display_name="Commands"), database_url="sqlite+aiosqlite:///data/task_execution_api.db"
    )
    .with_health()
    .with_system()
    .with_artifacts(hierarchy=ArtifactHierarchy(name="results", level_labels={0: "result"}))
    .with_jobs(workers=3)
    .with_tasks(allow_shell=True)
    .on_startup(seed)
    .build()
)

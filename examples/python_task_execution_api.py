"""Functions as tasks: plain and `async`, one that fails, one with a session, one switched off, one that is missing.

uvicorn examples.python_task_execution_api:app
"""

import asyncio
from dataclasses import dataclass
from datetime import date

from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit import Artifact, ArtifactHierarchy
from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.job import Retry, RunningJob
from chapkit.task import Registry, Task, TaskIn, TaskManager

registry = Registry()
climate = registry.namespace("climate")


@dataclass
class Period:
    """From the first day to the last one."""

    first: date
    last: date


@registry.register("add")
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@climate.register("count-days", tags=["climate"])
def count_days(period: Period) -> dict[str, int]:
    """Count the days of a period; what is sent as an object arrives as a `Period`."""
    return {"days": (period.last - period.first).days + 1}


@climate.register("download", tags=["climate"], retry=Retry(attempts=3, initial=0.1), timeout=30)
async def download(job: RunningJob, places: list[str]) -> dict[str, float]:
    """Pretend to fetch the rainfall of some places, and tell how far it has come."""
    found: dict[str, float] = {}
    for number, place in enumerate(places, 1):
        await asyncio.sleep(0)
        found[place] = float(len(place))
        job.progress(number / len(places), place)
    return found


@registry.register("fail")
def fail() -> None:
    """Fail: the job fails, and its artifact says why."""
    raise ValueError("there is nothing to be done")


@registry.register("count-artifacts")
async def count_artifacts(session: AsyncSession) -> int:
    """Count the artifacts, with a session that belongs to this run."""
    return await session.scalar(select(func.count()).select_from(Artifact)) or 0


def python(command: str, **members: object) -> TaskIn:
    """Return a task that calls a function."""
    return TaskIn.model_validate({"command": command, "task_type": "python", "tags": ["seed"], **members})


SEEDS = (
    python("add", parameters={"a": 2, "b": 3}),
    python("add", parameters={"a": 41}),
    python("climate/count-days", parameters={"period": {"first": "2024-02-01", "last": "2024-02-29"}}),
    python("climate/download", parameters={"places": ["Attapeu", "Bokeo"]}),
    python("fail"),
    python("count-artifacts"),
    python("add", parameters={"a": 0}, enabled=False, disabled_reason="nobody needs it"),
)


async def seed(app: FastAPI) -> None:
    """Write seven tasks into an empty database, and one whose function nobody has any more."""
    async with app.state.services.scope.write() as scope:
        tasks = scope.get(TaskManager)
        if await tasks.count() == 0:
            await tasks.save_all(SEEDS)
            scope.session.add(Task(command="removed-last-year", task_type="python", tags=["seed"]))


app = (
    ServiceBuilder(
        info=ServiceInfo(display_name="Functions"), database_url="sqlite+aiosqlite:///data/python_task_execution_api.db"
    )
    .with_health()
    .with_system()
    .with_artifacts(hierarchy=ArtifactHierarchy(name="results", level_labels={0: "result"}))
    .with_jobs()
    .with_tasks(registry=registry)
    .on_startup(seed)
    .build()
)

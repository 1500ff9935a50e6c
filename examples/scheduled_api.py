"""Functions that run by themselves: declared in code, and added over HTTP.

uvicorn examples.scheduled_api:app
"""

from datetime import UTC, datetime

from chapkit import ArtifactHierarchy
from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.job import RunningJob
from chapkit.task import Registry

registry = Registry()
climate = registry.namespace("climate")


@climate.register("download")
def download(job: RunningJob, places: list[str], days: int = 1) -> dict[str, int]:
    """Pretend to fetch the rainfall of some places."""
    found: dict[str, int] = {}
    for number, place in enumerate(places, 1):
        found[place] = len(place) * days
        job.progress(number / len(places), place)
    return found


@registry.register("heartbeat")
def heartbeat() -> str:
    """Say what time it is."""
    return datetime.now(UTC).isoformat(timespec="seconds")


app = (
    ServiceBuilder(
        info=ServiceInfo(display_name="Scheduled functions"),
        database_url="sqlite+aiosqlite:///data/scheduled_api.db",
    )
    .with_health()
    .with_system()
    .with_artifacts(hierarchy=ArtifactHierarchy(name="results", level_labels={0: "result"}))
    .with_jobs()
    .with_tasks(registry=registry)
    .with_schedules()
    .with_schedule(
        "climate/download", parameters={"places": ["Huye", "Rubavu"]}, cron="0 6 * * *", timezone="Africa/Kigali"
    )
    .with_schedule("heartbeat", every="5s", overlap="skip", max_failures=10)
    .build()
)

"""Things of your own as parameters of tasks: made once for the service, or for each job and closed after it.

python -m examples.custom_injection
"""

from collections.abc import Generator
from dataclasses import dataclass, field

from chapkit import ArtifactHierarchy
from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.client import Client
from chapkit.task import Registry

registry = Registry()


@dataclass(frozen=True)
class Settings:
    """What the service was told; made once."""

    unit: str = "mm"


@dataclass
class Station:
    """A connection to a weather station; made for each job."""

    name: str
    journal: list[str] = field(default_factory=list)

    def measure(self) -> float:
        """Return the rainfall of today."""
        self.journal.append("measured")
        return 12.5


journal: list[str] = []


def open_station() -> Generator[Station]:
    """Open the connection, and close it once the function has returned, failed or been stopped."""
    station = Station("Attapeu", journal)
    journal.append("opened")
    try:
        yield station
    finally:
        journal.append("closed")


@registry.register("measure")
def measure(station: Station, settings: Settings, factor: float = 1.0) -> str:
    """Measure the rainfall; only `factor` comes from the client."""
    return f"{station.name}: {factor * station.measure():g} {settings.unit}"


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Weather station"))
    .with_artifacts(hierarchy=ArtifactHierarchy(name="results", level_labels={0: "result"}))
    .with_jobs()
    .with_tasks(registry=registry)
    .provide(Settings, Settings, scope="app")
    .provide(Station, open_station, scope="job")
    .build()
)


def main() -> None:
    """Run the task once and show what became of the connection."""
    with Client(app=app) as client:
        task = client.tasks.create("measure", task_type="python", parameters={"factor": 2})
        job = client.tasks.run(task.id)
        print(client.tasks.result(job.artifact_id))
    print(", ".join(journal))


if __name__ == "__main__":
    main()

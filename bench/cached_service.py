"""The service of the kept results, as uvicorn starts it."""

import os

from bench.jobs_parts import durability_options
from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.artifact import ArtifactHierarchy
from chapkit.task import Cache, Registry

registry = Registry()


@registry.register("square", cache=Cache(ttl="1h"))
def square(number: int) -> dict[str, int]:
    """Return little, so that the way to it is what takes time."""
    return {"number": number, "square": number * number}


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Bench"))
    .with_database(
        os.environ["BENCH_DATABASE_URL"], **durability_options(os.environ.get("BENCH_DURABILITY", "process"))
    )
    .with_logging()
    .with_health()
    .with_artifacts(hierarchy=ArtifactHierarchy(name="results", level_labels={0: "result"}))
    .with_jobs()
    .with_tasks(registry=registry)
    .build()
)

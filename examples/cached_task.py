"""A task whose result is kept for an hour: equal calls get the artifact of the first one.

python -m examples.cached_task
"""

import time

from chapkit import ArtifactHierarchy
from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.client import Client
from chapkit.task import Cache, Registry

registry = Registry()


@registry.register("rainfall", cache=Cache(ttl="1h", tags=["climate"]))
def rainfall(place: str, year: int = 2024) -> dict[str, object]:
    """Take half a second, as a download would."""
    time.sleep(0.5)
    return {"place": place, "year": year, "millimetres": 1800 + len(place)}


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Rainfall"))
    .with_artifacts(hierarchy=ArtifactHierarchy(name="results", level_labels={0: "result"}))
    .with_jobs()
    .with_tasks(registry=registry)
    .build()
)


def main() -> None:
    """Ask three times, and drop what is kept before the last time."""
    with Client(app=app) as client:
        task = client.tasks.create("rainfall", task_type="python", parameters={"place": "Bokeo"})
        for step in ("first", "again", "after $invalidate"):
            if step == "after $invalidate":
                client.tasks.invalidate(tag="climate")
            begun = time.perf_counter()
            job = client.tasks.run(task.id)
            print(f"{step}: artifact {job.artifact_id} after {1000 * (time.perf_counter() - begun):.0f} ms")
        counts = client.tasks.cache()
        print(f"hits {counts.hits}, misses {counts.misses}")


if __name__ == "__main__":
    main()

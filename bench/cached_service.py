"""The service of the kept results, as uvicorn starts it."""

from bench.jobs_parts import builder_of_environment
from chapkit.artifact import ArtifactHierarchy
from chapkit.task import Cache, Registry

registry = Registry()


@registry.register("square", cache=Cache(ttl="1h"))
def square(number: int) -> dict[str, int]:
    """Return little, so that the way to it is what takes time."""
    return {"number": number, "square": number * number}


app = (
    builder_of_environment()
    .with_artifacts(hierarchy=ArtifactHierarchy(name="results", level_labels={0: "result"}))
    .with_tasks(registry=registry)
    .build()
)

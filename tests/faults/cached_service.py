"""A service with a kept function that tells when it begins and ends: `python -m tests.faults.cached_service PORT`."""

import os
import sys
import threading
from pathlib import Path

from chapkit.api import ServiceBuilder, ServiceInfo, run_app
from chapkit.artifact import ArtifactHierarchy
from chapkit.task import Cache, Registry

URL = "CHAPKIT_TEST_SERVICE_DATABASE"
DIARY = "CHAPKIT_TEST_DIARY"
PATIENCE = 60.0
HIERARCHY = ArtifactHierarchy(name="results", level_labels={0: "result"})
registry = Registry()


def write(word: str) -> None:
    """Add a line to the diary that all processes share."""
    with Path(os.environ[DIARY]).open("a") as diary:
        diary.write(f"{word} {os.getpid()}\n")


@registry.register("slow", cache=Cache(ttl="1h"))
def slow(place: str) -> str:
    """Return at once, but for the first time, which waits to be killed."""
    write("begun")
    if Path(os.environ[DIARY]).read_text().count("begun") == 1:
        threading.Event().wait(PATIENCE)
    write("ended")
    return place


if __name__ == "__main__":
    run_app(
        ServiceBuilder(info=ServiceInfo(display_name="Kept"), database_url=os.environ[URL])
        .with_health()
        .with_artifacts(hierarchy=HIERARCHY)
        .with_jobs()
        .with_tasks(registry=registry)
        .build(),
        port=int(sys.argv[1]),
    )

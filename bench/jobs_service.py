"""The service of the job rows, as uvicorn starts it."""

import os

from bench.jobs_parts import Endless, Nothing, service

_workers = os.environ.get("BENCH_JOB_WORKERS")

app = service(
    os.environ["BENCH_DATABASE_URL"],
    os.environ.get("BENCH_DURABILITY", "process"),
    int(_workers) if _workers else None,
    Nothing(),
    Endless(),
)

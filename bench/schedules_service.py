"""The service of the schedule rows, as uvicorn starts it."""

import os

from bench.jobs_parts import BenchHandlers, Nothing, durability_options
from chapkit.api import ServiceBuilder, ServiceInfo

app = (
    ServiceBuilder(info=ServiceInfo(display_name="Bench"))
    .with_database(
        os.environ["BENCH_DATABASE_URL"], **durability_options(os.environ.get("BENCH_DURABILITY", "process"))
    )
    .with_logging()
    .with_health()
    .with_jobs()
    .with_schedules()
    .with_feature(BenchHandlers((Nothing(),)))
    .build()
)

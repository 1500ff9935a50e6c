"""The service of the schedule rows, as uvicorn starts it."""

from bench.jobs_parts import BenchHandlers, Nothing, builder_of_environment

app = builder_of_environment().with_schedules().with_feature(BenchHandlers((Nothing(),))).build()

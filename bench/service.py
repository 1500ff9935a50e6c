"""The chapkit side: the same service in one expression, with request logs on."""

import os

from chapkit import BaseConfig
from chapkit.api import ServiceBuilder, ServiceInfo


class BenchConfig(BaseConfig):
    """The options of a model."""

    alpha: float = 0.5
    beta: int = 3
    label: str = "x"


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Bench"), database_url=os.environ["BENCH_DATABASE_URL"])
    .with_logging()
    .with_health()
    .with_config(BenchConfig)
    .build()
)

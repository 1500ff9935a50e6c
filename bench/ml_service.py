"""The chapkit side of the ML and artifact rows."""

import os

from bench.model import predict, train
from chapkit import BaseConfig
from chapkit.api import MLServiceBuilder, MLServiceInfo, ModelMetadata, PeriodType
from chapkit.artifact import ArtifactHierarchy
from chapkit.ml import FunctionalModelRunner


class BenchConfig(BaseConfig):
    """The options of a model."""

    alpha: float = 0.5
    beta: int = 3
    label: str = "x"


app = MLServiceBuilder(
    info=MLServiceInfo(
        id="bench",
        display_name="Bench",
        model_metadata=ModelMetadata(author="x"),
        period_type=PeriodType.monthly,
    ),
    config_schema=BenchConfig,
    hierarchy=ArtifactHierarchy(name="bench", level_labels={0: "ml_training_workspace", 1: "ml_prediction"}),
    runner=FunctionalModelRunner(on_train=train, on_predict=predict),
    database_url=os.environ["BENCH_DATABASE_URL"],
).build()

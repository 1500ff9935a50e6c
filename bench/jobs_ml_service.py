"""The service of the row with thousands of trainings: a runner that has next to nothing to do."""

import os
from typing import Any

from chapkit import BaseConfig
from chapkit.api import MLServiceBuilder, MLServiceInfo, ModelMetadata, PeriodType
from chapkit.artifact import ArtifactHierarchy
from chapkit.ml import FunctionalModelRunner


class BenchConfig(BaseConfig):
    """The options of a model."""

    alpha: float = 0.5


def train(config: Any, data: Any, geo: Any = None) -> dict[str, Any]:
    """Return a model of one number."""
    return {"rows": len(data)}


def predict(config: Any, model: dict[str, Any], historic: Any, future: Any, geo: Any = None) -> Any:
    """Return what was asked about."""
    return future


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

"""A small model as its author would write it: the mean of the cases of each location."""

from statistics import fmean
from typing import Any

from fastapi import FastAPI
from geojson_pydantic import FeatureCollection

from chapkit import BaseConfig
from chapkit.api import AssessedStatus, MLServiceBuilder, MLServiceInfo, ModelMetadata, PeriodType
from chapkit.artifact import ArtifactHierarchy
from chapkit.data import DataFrame
from chapkit.ml import FunctionalModelRunner

SAMPLES = 5
HIERARCHY = ArtifactHierarchy(name="mean", level_labels={0: "ml_training_workspace", 1: "ml_prediction"})
INFO = MLServiceInfo(
    id="mean-model",
    display_name="Mean model",
    version="1.2.0",
    description="Predicts the mean of what was seen",
    model_metadata=ModelMetadata(
        author="A. Person", author_assessed_status=AssessedStatus.orange, contact_email="person@example.org"
    ),
    period_type=PeriodType.any,
    min_prediction_periods=1,
    max_prediction_periods=12,
    allow_free_additional_continuous_covariates=True,
)


class MeanConfig(BaseConfig):
    """Options of the model."""

    prediction_periods: int = 3
    n_lags: int = 3
    noise: float = 0.5


async def train(config: MeanConfig, data: DataFrame, geo: FeatureCollection[Any] | None = None) -> dict[str, float]:
    frame = data.to_pandas()
    means = frame.groupby("location")["disease_cases"].mean()
    return {str(location): float(mean) for location, mean in means.items()}


async def predict(
    config: MeanConfig,
    model: dict[str, float],
    historic: DataFrame,
    future: DataFrame,
    geo: FeatureCollection[Any] | None = None,
) -> DataFrame:
    frame = future.to_pandas()
    known = fmean(model.values())
    for number in range(SAMPLES):
        frame[f"sample_{number}"] = [
            model.get(location, known) + number * config.noise for location in frame["location"]
        ]
    return DataFrame.from_pandas(frame)


def make_app(url: str = "sqlite+aiosqlite:///:memory:", info: MLServiceInfo = INFO, **options: Any) -> FastAPI:
    return make_builder(url, info, **options).build()


def make_builder(
    url: str = "sqlite+aiosqlite:///:memory:", info: MLServiceInfo = INFO, **options: Any
) -> MLServiceBuilder:
    runner = FunctionalModelRunner[MeanConfig](on_train=train, on_predict=predict)
    given = {"config_schema": MeanConfig, "hierarchy": HIERARCHY, "runner": runner, "include_logging": False, **options}
    return MLServiceBuilder(info=info, database_url=url, **given)

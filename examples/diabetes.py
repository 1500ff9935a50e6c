"""Predict how far diabetes has progressed after a year, from ten measurements of a patient."""

import pandas as pd
from sklearn.linear_model import Ridge

from chapkit import ArtifactHierarchy, BaseConfig, FunctionalModelRunner
from chapkit.api import MLServiceBuilder, MLServiceInfo, ModelMetadata, PeriodType


class DiabetesConfig(BaseConfig):
    """How strongly large coefficients are held back."""

    alpha: float = 0.1


def on_train(config: DiabetesConfig, data: pd.DataFrame) -> Ridge:
    """Fit a ridge regression; the last column is what to predict."""
    return Ridge(alpha=config.alpha).fit(data.iloc[:, :-1], data.iloc[:, -1])


def on_predict(config: DiabetesConfig, model: Ridge, historic: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements with the predicted progression beside them."""
    return future.assign(sample_0=model.predict(future))


app = MLServiceBuilder(
    info=MLServiceInfo(
        id="diabetes",
        display_name="Diabetes progression",
        model_metadata=ModelMetadata(author="chapkit"),
        period_type=PeriodType.any,
    ),
    config_schema=DiabetesConfig,
    hierarchy=ArtifactHierarchy(name="diabetes", level_labels={0: "model", 1: "prediction"}),
    runner=FunctionalModelRunner(on_train=on_train, on_predict=on_predict),
    database_url="sqlite+aiosqlite:///data/diabetes.db",
).build()

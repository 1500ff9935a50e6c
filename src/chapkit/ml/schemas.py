"""Training and prediction on the wire."""

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from chapkit.core.ids import ULID
from chapkit.data.frame import DataFrame
from chapkit.job.options import JobOptions
from chapkit.ml.polygons import Polygons

MODEL_TYPE = "ml_training_workspace"
PREDICTION_TYPE = "ml_prediction"


class RunInfo(BaseModel):
    """What one run asks for; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    prediction_periods: int | None = Field(
        default=None, ge=0, validation_alias=AliasChoices("prediction_periods", "prediction_length")
    )
    additional_continuous_covariates: list[str] = Field(default_factory=list[str])
    future_covariate_origin: str | None = None


class TrainRequest(BaseModel):
    """Data to train a model on."""

    config_id: ULID
    data: DataFrame
    geo: Polygons | None = None
    run_info: RunInfo | None = None
    job: JobOptions | None = Field(default=None, description="How the job is to be run, if not as the service has it.")


class PredictRequest(BaseModel):
    """Data to predict for, and the model to do it with."""

    artifact_id: ULID = Field(
        validation_alias=AliasChoices("artifact_id", "model_artifact_id", "training_artifact_id"),
        description="The trained model; `model_artifact_id` and `training_artifact_id` are read too.",
    )
    future: DataFrame
    historic: DataFrame | None = None
    geo: Polygons | None = None
    run_info: RunInfo | None = None
    job: JobOptions | None = Field(default=None, description="How the job is to be run, if not as the service has it.")


class TrainResponse(BaseModel):
    """The job that trains, and where the model will be."""

    job_id: ULID
    artifact_id: ULID
    model_artifact_id: ULID | None = Field(default=None, description="Older name of `artifact_id`.")
    message: str


class PredictResponse(BaseModel):
    """The job that predicts, and where the prediction will be."""

    job_id: ULID
    artifact_id: ULID
    prediction_artifact_id: ULID | None = Field(default=None, description="Older name of `artifact_id`.")
    message: str

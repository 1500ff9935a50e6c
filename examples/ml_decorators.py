"""A model in two decorated functions: `uvicorn examples.ml_decorators:app`."""

from chapkit import ArtifactHierarchy, BaseConfig
from chapkit.api import MLServiceBuilder, MLServiceInfo, ModelMetadata
from chapkit.ml import predict, train


@train("mean")
def fit(config, data):
    return data["cases"].mean()


@predict("mean")
def forecast(config, model, historic, future):
    return future.assign(sample_0=model)


info = MLServiceInfo(id="mean", display_name="Mean", model_metadata=ModelMetadata(), period_type="weekly")
app = MLServiceBuilder(info=info, config_schema=BaseConfig, hierarchy=ArtifactHierarchy("mean"), runner="mean").build()

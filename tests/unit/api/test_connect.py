from chapkit.api import MLServiceInfo, ModelMetadata, PeriodType, ServiceInfo
from chapkit.api.connect import connect, run_limits
from chapkit.artifact.feature import ArtifactFeature
from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.config.feature import ConfigFeature
from chapkit.config.schemas import BaseConfig
from chapkit.job.feature import JobFeature
from chapkit.link.feature import LinkFeature
from chapkit.ml import FunctionalModelRunner, MLFeature
from chapkit.ml.checks import RunLimits
from chapkit.web.feature import Feature

CONFIG = ConfigFeature(BaseConfig, "first", "/configs")
ARTIFACT = ArtifactFeature(ArtifactHierarchy("a"), "/artifacts")
JOB = JobFeature(prefix="/jobs")
ML = MLFeature(FunctionalModelRunner(print, print))


def links_of(features: list[Feature]) -> list[LinkFeature]:
    return [feature for feature in features if isinstance(feature, LinkFeature)]


def test_a_model_learns_where_the_others_are() -> None:
    connected = connect([CONFIG, ConfigFeature(BaseConfig, "second"), ARTIFACT, JOB, ML], links_configs=True)
    found = next(feature for feature in connected if isinstance(feature, MLFeature))
    assert (found.config_name, found.artifacts_prefix, found.jobs_prefix) == ("first", "/artifacts", "/jobs")
    assert (ML.artifacts_prefix, ML.jobs_prefix) == ("/api/v1/artifacts", "/api/v1/jobs")
    assert [link.config for link in links_of(connected)] == [CONFIG]


def test_artifacts_are_linked_where_it_was_asked_for_or_a_model_needs_it() -> None:
    assert links_of(connect([CONFIG, ARTIFACT], links_configs=False)) == []
    assert len(links_of(connect([CONFIG, ARTIFACT], links_configs=True))) == 1
    assert len(links_of(connect([CONFIG, ARTIFACT, JOB, ML], links_configs=False))) == 1
    assert links_of(connect([ARTIFACT, JOB, ML], links_configs=False)) == []


def test_what_a_model_says_of_itself_limits_its_data() -> None:
    info = MLServiceInfo(
        id="a",
        display_name="a",
        model_metadata=ModelMetadata(),
        period_type=PeriodType.any,
        required_covariates=["rain"],
        min_prediction_periods=2,
        max_prediction_periods=5,
        requires_geo=True,
    )
    assert run_limits(info) == RunLimits(("rain",), 2, 5, True)
    assert run_limits(ServiceInfo(display_name="a")) == RunLimits()

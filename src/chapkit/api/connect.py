"""What features have to know of one another."""

from dataclasses import replace
from typing import TYPE_CHECKING

from chapkit.api.info import MLServiceInfo, ServiceInfo
from chapkit.core.errors import ConfigurationError
from chapkit.web.feature import Feature

if TYPE_CHECKING:
    from chapkit.ml.checks import RunLimits


def connect(features: list[Feature], *, links_configs: bool) -> list[Feature]:
    """Return the features with the link between configurations and artifacts, and with one another's prefixes."""
    kinds = {feature.kind for feature in features}
    # A model is found by its configuration, so training needs the link, whether it was asked for or not.
    if links_configs or {"ml", "config", "artifact"} <= kinds:
        # Lazy: only services with artifacts have links.
        from chapkit.link.feature import LinkFeature

        features = [*features, LinkFeature.between(features)]
    if "schedule" in kinds:
        features = _with_schedules(features, kinds)
    return [_with_prefixes(feature, features) for feature in features]


def run_limits(info: ServiceInfo) -> "RunLimits":
    """Return what the description of a model demands of the data."""
    # Lazy: only services with a model have limits.
    from chapkit.ml.checks import RunLimits

    if not isinstance(info, MLServiceInfo):
        return RunLimits()
    return RunLimits(
        required_columns=tuple(info.required_covariates),
        min_periods=info.min_prediction_periods,
        max_periods=info.max_prediction_periods,
        requires_geo=info.requires_geo,
    )


def _with_schedules(features: list[Feature], kinds: set[str]) -> list[Feature]:
    # Lazy: only services with schedules get here.
    from chapkit.job.feature import JobFeature
    from chapkit.scheduler.feature import ScheduleFeature

    schedules = next(feature for feature in features if feature.kind == ScheduleFeature.kind)
    if not isinstance(schedules, ScheduleFeature):
        return features
    jobs = next((feature for feature in features if isinstance(feature, JobFeature)), None)
    connected = schedules if jobs is None else replace(schedules, jobs_prefix=jobs.prefix)
    # Behind all others, as what they bring can be scheduled in code.
    features = [*(feature for feature in features if feature is not schedules), connected]
    if "task" not in kinds:
        return features
    from chapkit.scheduler.task_side import TaskScheduleFeature

    return [*features, TaskScheduleFeature.between(features, connected)]


def _with_prefixes(feature: Feature, features: list[Feature]) -> Feature:
    if feature.kind == "task":
        return _task_with_prefixes(feature, features)
    if feature.kind != "ml":
        return feature
    # Lazy: only services with a model get here.
    from chapkit.artifact.feature import ArtifactFeature
    from chapkit.config.feature import ConfigFeature
    from chapkit.job.feature import JobFeature
    from chapkit.ml.feature import MLFeature

    if not isinstance(feature, MLFeature):
        return feature
    for other in features:
        if isinstance(other, ArtifactFeature):
            feature = replace(feature, artifacts_prefix=other.prefix)
        elif isinstance(other, JobFeature):
            feature = replace(feature, jobs_prefix=other.prefix)
    configs = [other for other in features if isinstance(other, ConfigFeature)]
    if not configs:
        # Named as missing, with the others.
        return feature
    config = next((each for each in configs if feature.config_name in (None, each.name)), None)
    if config is None:
        names = [each.name for each in configs]
        raise ConfigurationError(
            f"with_ml(config={feature.config_name!r}) names no configurations of this service; there are: {names}",
            code="runner-config-unknown",
            found=feature.config_name,
            expected=names,
        )
    runners = [other for other in features if isinstance(other, MLFeature)]
    default = next((each for each in runners if each.name is None), runners[0])
    return replace(feature, config_name=config.name, config_schema=config.schema, is_default=feature.key == default.key)


def _task_with_prefixes(feature: Feature, features: list[Feature]) -> Feature:
    # Lazy: only services with tasks get here.
    from chapkit.artifact.feature import ArtifactFeature
    from chapkit.config.feature import ConfigFeature
    from chapkit.job.feature import JobFeature
    from chapkit.task.feature import TaskFeature

    if not isinstance(feature, TaskFeature):
        return feature
    for other in features:
        if isinstance(other, ArtifactFeature):
            feature = replace(feature, artifacts_prefix=other.prefix)
        elif isinstance(other, JobFeature):
            feature = replace(feature, jobs_prefix=other.prefix)
        elif isinstance(other, ConfigFeature):
            feature = replace(feature, configs=(*feature.configs, (other.name, other.schema)))
    return feature

"""Builders with the usual features already in."""

from typing import Any

from chapkit.api.builder import IN_MEMORY, ServiceBuilder
from chapkit.api.info import MLServiceInfo
from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.config.schemas import BaseConfig
from chapkit.ml.runner import ModelRunner


class MLServiceBuilder(ServiceBuilder):
    """A service that trains and predicts: health, system, configs, artifacts, jobs and the runner."""

    def __init__(
        self,
        *,
        info: MLServiceInfo,
        config_schema: type[BaseConfig],
        hierarchy: ArtifactHierarchy,
        runner: ModelRunner | str,
        database_url: str = IN_MEMORY,
        include_error_handlers: bool = True,
        include_logging: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            info=info,
            database_url=database_url,
            include_error_handlers=include_error_handlers,
            include_logging=include_logging,
            **options,
        )
        self.with_health().with_system().with_config(config_schema)
        self.with_artifacts(hierarchy=hierarchy, enable_config_linking=True)
        self.with_jobs().with_ml(runner)

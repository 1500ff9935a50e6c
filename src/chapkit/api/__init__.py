"""Build and run services."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.api.builder import ServiceBuilder as ServiceBuilder
    from chapkit.api.dependencies import get_artifact_manager as get_artifact_manager
    from chapkit.api.dependencies import get_config_manager as get_config_manager
    from chapkit.api.dependencies import get_session as get_session
    from chapkit.api.info import AssessedStatus as AssessedStatus
    from chapkit.api.info import MLServiceInfo as MLServiceInfo
    from chapkit.api.info import ModelMetadata as ModelMetadata
    from chapkit.api.info import PeriodType as PeriodType
    from chapkit.api.info import ServiceInfo as ServiceInfo
    from chapkit.api.presets import MLServiceBuilder as MLServiceBuilder
    from chapkit.api.run import run_app as run_app
    from chapkit.artifact.router import ArtifactRouter as ArtifactRouter
    from chapkit.config.router import ConfigRouter as ConfigRouter
    from chapkit.core.logging import add_request_context as add_request_context
    from chapkit.core.logging import clear_request_context as clear_request_context
    from chapkit.core.logging import configure_logging as configure_logging
    from chapkit.core.logging import get_logger as get_logger
    from chapkit.core.logging import reset_request_context as reset_request_context
    from chapkit.ops.health import HealthFeature as HealthFeature
    from chapkit.ops.health_schemas import CheckResult as CheckResult
    from chapkit.ops.health_schemas import HealthState as HealthState
    from chapkit.ops.health_schemas import HealthStatus as HealthStatus
    from chapkit.ops.system import SystemFeature as SystemFeature
    from chapkit.ops.system import SystemInfo as SystemInfo
    from chapkit.task.router import TaskRouter as TaskRouter
    from chapkit.web.crud import CrudRouter as CrudRouter
    from chapkit.web.dependencies import RequestScope as RequestScope
    from chapkit.web.dependencies import get_scope as get_scope
    from chapkit.web.dependencies import provided as provided
    from chapkit.web.feature import CrudPermissions as CrudPermissions
    from chapkit.web.feature import Feature as Feature
    from chapkit.web.problems import add_error_handlers as add_error_handlers
    from chapkit.web.router import Router as Router

_MODULES: dict[str, tuple[str, ...]] = {
    "chapkit.api.builder": ("ServiceBuilder",),
    "chapkit.api.dependencies": (
        "get_artifact_manager",
        "get_config_manager",
        "get_session",
    ),
    "chapkit.api.info": (
        "AssessedStatus",
        "MLServiceInfo",
        "ModelMetadata",
        "PeriodType",
        "ServiceInfo",
    ),
    "chapkit.api.presets": ("MLServiceBuilder",),
    "chapkit.api.run": ("run_app",),
    "chapkit.artifact.router": ("ArtifactRouter",),
    "chapkit.config.router": ("ConfigRouter",),
    "chapkit.core.logging": (
        "add_request_context",
        "clear_request_context",
        "configure_logging",
        "get_logger",
        "reset_request_context",
    ),
    "chapkit.ops.health": ("HealthFeature",),
    "chapkit.ops.health_schemas": (
        "CheckResult",
        "HealthState",
        "HealthStatus",
    ),
    "chapkit.ops.system": (
        "SystemFeature",
        "SystemInfo",
    ),
    "chapkit.task.router": ("TaskRouter",),
    "chapkit.web.crud": ("CrudRouter",),
    "chapkit.web.dependencies": (
        "RequestScope",
        "get_scope",
        "provided",
    ),
    "chapkit.web.feature": (
        "CrudPermissions",
        "Feature",
    ),
    "chapkit.web.problems": ("add_error_handlers",),
    "chapkit.web.router": ("Router",),
}
_NAMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

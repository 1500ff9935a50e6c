"""FastAPI dependencies for routes of your own; each works in the request's unit of work."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.artifact.manager import ArtifactManager
from chapkit.config.manager import ConfigManager
from chapkit.task.manager import TaskManager
from chapkit.web.dependencies import RequestScope


async def get_config_manager(scope: RequestScope) -> ConfigManager[Any]:
    """Return the manager of the service's first configuration class."""
    return scope.get(ConfigManager)


async def get_artifact_manager(scope: RequestScope) -> ArtifactManager:
    """Return the manager of the service's artifacts."""
    return scope.get(ArtifactManager)


async def get_task_manager(scope: RequestScope) -> TaskManager:
    """Return the manager of the service's tasks."""
    return scope.get(TaskManager)


async def get_session(scope: RequestScope) -> AsyncSession:
    """Return the session; it is committed before the answer leaves, and rolled back after an error."""
    return scope.session

"""Functions and commands that run themselves: declared once, stored as tasks, run as jobs."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.task.cache import Cache as Cache
    from chapkit.task.catalogue import Catalogue as Catalogue
    from chapkit.task.declaration import Declaration as Declaration
    from chapkit.task.feature import TaskFeature as TaskFeature
    from chapkit.task.manager import TaskManager as TaskManager
    from chapkit.task.models import Task as Task
    from chapkit.task.orphans import validate_and_disable_orphaned_tasks as validate_and_disable_orphaned_tasks
    from chapkit.task.registry import Namespace as Namespace
    from chapkit.task.registry import Registry as Registry
    from chapkit.task.registry import TaskRegistry as TaskRegistry
    from chapkit.task.repository import TaskRepository as TaskRepository
    from chapkit.task.router import TaskRouter as TaskRouter
    from chapkit.task.schemas import TaskExecuteRequest as TaskExecuteRequest
    from chapkit.task.schemas import TaskExecuteResponse as TaskExecuteResponse
    from chapkit.task.schemas import TaskIn as TaskIn
    from chapkit.task.schemas import TaskOut as TaskOut
    from chapkit.task.serializers import register_serializer as register_serializer

_NAMES = {
    "Cache": "chapkit.task.cache",
    "Catalogue": "chapkit.task.catalogue",
    "Declaration": "chapkit.task.declaration",
    "Namespace": "chapkit.task.registry",
    "Registry": "chapkit.task.registry",
    "Task": "chapkit.task.models",
    "TaskExecuteRequest": "chapkit.task.schemas",
    "TaskExecuteResponse": "chapkit.task.schemas",
    "TaskFeature": "chapkit.task.feature",
    "TaskIn": "chapkit.task.schemas",
    "TaskManager": "chapkit.task.manager",
    "TaskOut": "chapkit.task.schemas",
    "TaskRegistry": "chapkit.task.registry",
    "TaskRepository": "chapkit.task.repository",
    "TaskRouter": "chapkit.task.router",
    "register_serializer": "chapkit.task.serializers",
    "validate_and_disable_orphaned_tasks": "chapkit.task.orphans",
}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

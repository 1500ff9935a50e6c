"""Turn a model or a data job into a service that lasts."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit._version import __version__ as __version__
    from chapkit.artifact.hierarchy import ArtifactHierarchy as ArtifactHierarchy
    from chapkit.artifact.manager import ArtifactManager as ArtifactManager
    from chapkit.artifact.models import Artifact as Artifact
    from chapkit.artifact.repository import ArtifactRepository as ArtifactRepository
    from chapkit.artifact.schemas import ArtifactIn as ArtifactIn
    from chapkit.artifact.schemas import ArtifactOut as ArtifactOut
    from chapkit.artifact.schemas import ArtifactTreeNode as ArtifactTreeNode
    from chapkit.config.manager import ConfigManager as ConfigManager
    from chapkit.config.models import Config as Config
    from chapkit.config.repository import ConfigRepository as ConfigRepository
    from chapkit.config.schemas import BaseConfig as BaseConfig
    from chapkit.config.schemas import ConfigIn as ConfigIn
    from chapkit.config.schemas import ConfigOut as ConfigOut
    from chapkit.core.columns import ULIDType as ULIDType
    from chapkit.core.database import Database as Database
    from chapkit.core.errors import ChapkitError as ChapkitError
    from chapkit.core.errors import ChapkitException as ChapkitException
    from chapkit.core.ids import ULID as ULID
    from chapkit.core.manager import BaseManager as BaseManager
    from chapkit.core.manager_port import Manager as Manager
    from chapkit.core.models import Base as Base
    from chapkit.core.models import Entity as Entity
    from chapkit.core.repository import BaseRepository as BaseRepository
    from chapkit.core.repository import Repository as Repository
    from chapkit.core.schemas import EntityIn as EntityIn
    from chapkit.core.schemas import EntityOut as EntityOut
    from chapkit.core.sqlite import SqliteDatabase as SqliteDatabase
    from chapkit.core.sqlite_builder import SqliteDatabaseBuilder as SqliteDatabaseBuilder
    from chapkit.data.frame import DataFrame as DataFrame
    from chapkit.data.frame import PandasDataFrame as PandasDataFrame
    from chapkit.job.schemas import ChapkitJobRecord as ChapkitJobRecord
    from chapkit.ml.runner import BaseModelRunner as BaseModelRunner
    from chapkit.ml.runner import FunctionalModelRunner as FunctionalModelRunner
    from chapkit.ml.schemas import PredictResponse as PredictResponse
    from chapkit.ml.schemas import TrainResponse as TrainResponse
    from chapkit.task.manager import TaskManager as TaskManager
    from chapkit.task.models import Task as Task
    from chapkit.task.orphans import validate_and_disable_orphaned_tasks as validate_and_disable_orphaned_tasks
    from chapkit.task.registry import TaskRegistry as TaskRegistry
    from chapkit.task.repository import TaskRepository as TaskRepository
    from chapkit.task.schemas import TaskIn as TaskIn
    from chapkit.task.schemas import TaskOut as TaskOut

_MODULES: dict[str, tuple[str, ...]] = {
    "chapkit._version": ("__version__",),
    "chapkit.artifact.hierarchy": ("ArtifactHierarchy",),
    "chapkit.artifact.manager": ("ArtifactManager",),
    "chapkit.artifact.models": ("Artifact",),
    "chapkit.artifact.repository": ("ArtifactRepository",),
    "chapkit.artifact.schemas": (
        "ArtifactIn",
        "ArtifactOut",
        "ArtifactTreeNode",
    ),
    "chapkit.config.manager": ("ConfigManager",),
    "chapkit.config.models": ("Config",),
    "chapkit.config.repository": ("ConfigRepository",),
    "chapkit.config.schemas": (
        "BaseConfig",
        "ConfigIn",
        "ConfigOut",
    ),
    "chapkit.core.columns": ("ULIDType",),
    "chapkit.core.database": ("Database",),
    "chapkit.core.errors": (
        "ChapkitError",
        "ChapkitException",
    ),
    "chapkit.core.ids": ("ULID",),
    "chapkit.core.manager": ("BaseManager",),
    "chapkit.core.manager_port": ("Manager",),
    "chapkit.core.models": (
        "Base",
        "Entity",
    ),
    "chapkit.core.repository": (
        "BaseRepository",
        "Repository",
    ),
    "chapkit.core.schemas": (
        "EntityIn",
        "EntityOut",
    ),
    "chapkit.core.sqlite": ("SqliteDatabase",),
    "chapkit.core.sqlite_builder": ("SqliteDatabaseBuilder",),
    "chapkit.data.frame": (
        "DataFrame",
        "PandasDataFrame",
    ),
    "chapkit.job.schemas": ("ChapkitJobRecord",),
    "chapkit.ml.runner": (
        "BaseModelRunner",
        "FunctionalModelRunner",
    ),
    "chapkit.ml.schemas": (
        "PredictResponse",
        "TrainResponse",
    ),
    "chapkit.task.manager": ("TaskManager",),
    "chapkit.task.models": ("Task",),
    "chapkit.task.orphans": ("validate_and_disable_orphaned_tasks",),
    "chapkit.task.registry": ("TaskRegistry",),
    "chapkit.task.repository": ("TaskRepository",),
    "chapkit.task.schemas": (
        "TaskIn",
        "TaskOut",
    ),
}
_NAMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

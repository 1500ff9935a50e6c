"""The layer beneath everything: entities, databases, managers, errors, logs."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.core.clock import Clock as Clock
    from chapkit.core.clock import SystemClock as SystemClock
    from chapkit.core.columns import ULIDType as ULIDType
    from chapkit.core.database import Database as Database
    from chapkit.core.errors import BadRequestError as BadRequestError
    from chapkit.core.errors import ChapkitError as ChapkitError
    from chapkit.core.errors import ChapkitException as ChapkitException
    from chapkit.core.errors import ConflictError as ConflictError
    from chapkit.core.errors import ErrorType as ErrorType
    from chapkit.core.errors import ForbiddenError as ForbiddenError
    from chapkit.core.errors import InvalidULIDError as InvalidULIDError
    from chapkit.core.errors import NotFoundError as NotFoundError
    from chapkit.core.errors import UnauthorizedError as UnauthorizedError
    from chapkit.core.errors import ValidationError as ValidationError
    from chapkit.core.hooks import LifecycleHooks as LifecycleHooks
    from chapkit.core.ids import ULID as ULID
    from chapkit.core.logging import add_request_context as add_request_context
    from chapkit.core.logging import clear_request_context as clear_request_context
    from chapkit.core.logging import configure_logging as configure_logging
    from chapkit.core.logging import get_logger as get_logger
    from chapkit.core.logging import reset_request_context as reset_request_context
    from chapkit.core.manager import BaseManager as BaseManager
    from chapkit.core.manager_port import Manager as Manager
    from chapkit.core.models import Base as Base
    from chapkit.core.models import Entity as Entity
    from chapkit.core.repository import BaseRepository as BaseRepository
    from chapkit.core.repository import Repository as Repository
    from chapkit.core.schemas import BulkOperationError as BulkOperationError
    from chapkit.core.schemas import BulkOperationResult as BulkOperationResult
    from chapkit.core.schemas import EntityIn as EntityIn
    from chapkit.core.schemas import EntityOut as EntityOut
    from chapkit.core.schemas import PaginatedResponse as PaginatedResponse
    from chapkit.core.schemas import ProblemDetail as ProblemDetail
    from chapkit.core.services import Key as Key
    from chapkit.core.services import Scope as Scope
    from chapkit.core.services import Services as Services
    from chapkit.core.sqlite import SqliteDatabase as SqliteDatabase
    from chapkit.core.sqlite_builder import SqliteDatabaseBuilder as SqliteDatabaseBuilder
    from chapkit.core.types import JsonSafe as JsonSafe

_MODULES = {
    "clock": ("Clock", "SystemClock"),
    "columns": ("ULIDType",),
    "database": ("Database",),
    "errors": (
        "BadRequestError",
        "ChapkitError",
        "ChapkitException",
        "ConflictError",
        "ErrorType",
        "ForbiddenError",
        "InvalidULIDError",
        "NotFoundError",
        "UnauthorizedError",
        "ValidationError",
    ),
    "hooks": ("LifecycleHooks",),
    "ids": ("ULID",),
    "logging": (
        "add_request_context",
        "clear_request_context",
        "configure_logging",
        "get_logger",
        "reset_request_context",
    ),
    "manager": ("BaseManager",),
    "manager_port": ("Manager",),
    "models": ("Base", "Entity"),
    "repository": ("BaseRepository", "Repository"),
    "schemas": (
        "BulkOperationError",
        "BulkOperationResult",
        "EntityIn",
        "EntityOut",
        "PaginatedResponse",
        "ProblemDetail",
    ),
    "services": ("Key", "Scope", "Services"),
    "sqlite": ("SqliteDatabase",),
    "sqlite_builder": ("SqliteDatabaseBuilder",),
    "types": ("JsonSafe",),
}
_NAMES = {name: f"chapkit.core.{module}" for module, names in _MODULES.items() for name in names}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

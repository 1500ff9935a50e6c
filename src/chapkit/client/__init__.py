"""Typed clients of a service, blocking and not; they need neither its server nor its database."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.client.client import AsyncClient as AsyncClient
    from chapkit.client.client import Client as Client
    from chapkit.client.configs import AsyncConfigs as AsyncConfigs
    from chapkit.client.configs import Configs as Configs
    from chapkit.client.errors import ApiError as ApiError
    from chapkit.client.errors import ClientError as ClientError
    from chapkit.client.errors import Conflict as Conflict
    from chapkit.client.errors import ConnectionFailed as ConnectionFailed
    from chapkit.client.errors import Forbidden as Forbidden
    from chapkit.client.errors import Invalid as Invalid
    from chapkit.client.errors import JobCanceled as JobCanceled
    from chapkit.client.errors import JobFailed as JobFailed
    from chapkit.client.errors import JobTimedOut as JobTimedOut
    from chapkit.client.errors import NoAnswer as NoAnswer
    from chapkit.client.errors import NotFound as NotFound
    from chapkit.client.errors import PreconditionFailed as PreconditionFailed
    from chapkit.client.errors import ServerError as ServerError
    from chapkit.client.errors import TimedOut as TimedOut
    from chapkit.client.errors import TooLarge as TooLarge
    from chapkit.client.errors import TooManyRequests as TooManyRequests
    from chapkit.client.errors import Unauthorized as Unauthorized
    from chapkit.client.errors import Unavailable as Unavailable
    from chapkit.client.errors import UnexpectedAnswer as UnexpectedAnswer
    from chapkit.client.jobs import AsyncJobs as AsyncJobs
    from chapkit.client.jobs import Jobs as Jobs
    from chapkit.client.resource import AsyncResource as AsyncResource
    from chapkit.client.resource import Resource as Resource
    from chapkit.client.retries import Retries as Retries
    from chapkit.client.schedules import AsyncSchedules as AsyncSchedules
    from chapkit.client.schedules import Schedules as Schedules
    from chapkit.client.system import ServiceDescription as ServiceDescription
    from chapkit.client.system import SystemDescription as SystemDescription
    from chapkit.client.tasks import AsyncTasks as AsyncTasks
    from chapkit.client.tasks import Tasks as Tasks

_MODULES = {
    "client": ("AsyncClient", "Client"),
    "configs": ("AsyncConfigs", "Configs"),
    "errors": (
        "ApiError",
        "ClientError",
        "Conflict",
        "ConnectionFailed",
        "Forbidden",
        "Invalid",
        "JobCanceled",
        "JobFailed",
        "JobTimedOut",
        "NoAnswer",
        "NotFound",
        "PreconditionFailed",
        "ServerError",
        "TimedOut",
        "TooLarge",
        "TooManyRequests",
        "Unauthorized",
        "Unavailable",
        "UnexpectedAnswer",
    ),
    "jobs": ("AsyncJobs", "Jobs"),
    "resource": ("AsyncResource", "Resource"),
    "retries": ("Retries",),
    "schedules": ("AsyncSchedules", "Schedules"),
    "system": ("ServiceDescription", "SystemDescription"),
    "tasks": ("AsyncTasks", "Tasks"),
}
_NAMES = {name: f"chapkit.client.{module}" for module, names in _MODULES.items() for name in names}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

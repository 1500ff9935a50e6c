"""`/health`: the state of the service, for people, probes and load balancers."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from chapkit.core.errors import ChapkitError, ConfigurationError
from chapkit.core.logging import get_logger
from chapkit.core.services import Services
from chapkit.ops.health_schemas import CheckResult, HealthState, HealthStatus
from chapkit.web.dependencies import services_of
from chapkit.web.feature import Feature, HealthCheck, HealthChecks
from chapkit.web.responses import json_bytes
from chapkit.web.sse import event_stream, format_sse_event

UserCheck = Callable[[], Awaitable[tuple[HealthState, str | None]]]
"""A check of the user: state and message."""
_ORDER = (HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY)


@dataclass(frozen=True)
class HealthFeature(Feature):
    """Answers 200 while the service is healthy or degraded, 503 when it is not."""

    kind: ClassVar[str] = "health"

    prefix: str = "/health"
    tags: tuple[str, ...] = ("Observability",)
    checks: Mapping[str, UserCheck] = field(default_factory=dict[str, UserCheck])
    include_database_check: bool = True
    timeout: float = 5.0
    """Seconds after which a check counts as unhealthy."""

    def __post_init__(self) -> None:
        for name in self.checks:
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ConfigurationError(
                    f"The health check name {name!r} contains invalid characters; use letters, digits, '-' and '_'",
                    code="health-check-name-invalid",
                    field=name,
                )

    def register(self, services: Services) -> None:
        """Add the user's checks to those of the features."""
        port = services.get(HealthChecks)
        for name, check in self.checks.items():
            port.add(name, _adapt(check))

    def routers(self) -> Iterable[APIRouter]:
        """Return the two routes."""
        router = APIRouter(prefix=self.prefix, tags=list(self.tags))

        async def health(request: Request) -> Response:
            status = await self.examine(services_of(request))
            code = 503 if status.status is HealthState.UNHEALTHY else 200
            return json_bytes(_dump(status).encode(), status=code)

        async def stream(
            request: Request, poll_interval: Annotated[float, Query(ge=0.1, le=60, description="Seconds")] = 1.0
        ) -> Response:
            return event_stream(self._watch(services_of(request), poll_interval))

        unhealthy: dict[int | str, dict[str, Any]] = {503: {"model": HealthStatus, "description": "Unhealthy"}}
        router.add_api_route(
            "", health, methods=["GET"], response_model=HealthStatus, responses=unhealthy, summary="Health"
        )
        router.add_api_route("/$stream", stream, methods=["GET"], summary="Health, again and again")
        yield router

    async def examine(self, services: Services) -> HealthStatus:
        """Run every check at once and return the outcome."""
        checks = dict(services.get(HealthChecks).checks)
        if not self.include_database_check:
            checks.pop("database", None)
        if len(checks) == 1:
            results = [await self._run(check, services) for check in checks.values()]
        else:
            results = await asyncio.gather(*(self._run(check, services) for check in checks.values()))
        worst = max((result.state for result in results), key=_ORDER.index, default=HealthState.HEALTHY)
        return HealthStatus(status=worst, checks=dict(zip(checks, results, strict=True)) or None)

    async def _run(self, check: HealthCheck, services: Services) -> CheckResult:
        try:
            async with asyncio.timeout(self.timeout):
                state, message = await check(services)
            return CheckResult(state=HealthState(state), message=message)
        except TimeoutError:
            return CheckResult(state=HealthState.UNHEALTHY, message=f"No answer within {self.timeout:g} s")
        except ChapkitError as error:
            return CheckResult(state=HealthState.UNHEALTHY, message=f"Check failed: {error.detail}")
        except Exception as error:
            # Any error of a user's check is an outcome; its text may hold secrets, so only the log has it.
            get_logger("chapkit.health").warning("health.check_failed", error=str(error))
            return CheckResult(state=HealthState.UNHEALTHY, message=f"Check failed: {type(error).__name__}")

    async def _watch(self, services: Services, interval: float) -> AsyncGenerator[bytes]:
        while True:
            yield format_sse_event(_dump(await self.examine(services)))
            await asyncio.sleep(interval)


def _dump(status: HealthStatus) -> str:
    return status.model_dump_json(exclude_none=True)


def _adapt(check: UserCheck) -> HealthCheck:
    async def run(services: Services) -> tuple[str, str | None]:
        return await check()

    return run

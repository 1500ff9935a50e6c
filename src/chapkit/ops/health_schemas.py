"""Health on the wire."""

from enum import StrEnum

from pydantic import BaseModel


class HealthState(StrEnum):
    """How well something is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class CheckResult(BaseModel):
    """Outcome of one check."""

    state: HealthState
    message: str | None = None


class HealthStatus(BaseModel):
    """Outcome of all checks: the worst of them."""

    status: HealthState
    checks: dict[str, CheckResult] | None = None

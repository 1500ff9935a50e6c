"""What a service tells about itself."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, EmailStr, Field, HttpUrl, field_validator, model_serializer, model_validator
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from chapkit.core.settings import Environment
from chapkit.web.feature import Feature

SLUG = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
REVISION = r"^[0-9a-fA-F]{7,40}$"


class AssessedStatus(StrEnum):
    """How far a model may be trusted, as its author sees it."""

    gray = "gray"
    red = "red"
    orange = "orange"
    yellow = "yellow"
    green = "green"


class PeriodType(StrEnum):
    """Length of the periods that a model works with."""

    weekly = "weekly"
    monthly = "monthly"
    any = "any"


class ModelMetadata(BaseModel):
    """Who made a model and what is known of it."""

    model_config = ConfigDict(extra="forbid", use_enum_values=True)

    author: str | None = None
    author_note: str | None = None
    author_assessed_status: AssessedStatus | None = None
    contact_email: EmailStr | None = None
    organization: str | None = None
    organization_logo_url: HttpUrl | None = None
    citation_info: str | None = None
    repository_url: HttpUrl | None = None
    documentation_url: HttpUrl | None = None


class ServiceInfo(BaseModel):
    """Name, version and purpose of a service."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(default="", pattern=SLUG, description="Made from the display name when left out.")
    display_name: str
    version: str = "1.0.0"
    summary: str | None = None
    description: str | None = None
    contact: dict[str, str] | None = None
    license_info: dict[str, str] | None = None

    @model_validator(mode="after")
    def _fill_in(self) -> "ServiceInfo":
        if not self.id:
            self.id = _slug(self.display_name)
        if self.description is None:
            self.description = self.summary
        return self


class MLServiceInfo(ServiceInfo):
    """What a platform has to know to use a model; on the wire exactly what such platforms parse."""

    id: str = Field(pattern=SLUG)
    model_metadata: ModelMetadata
    period_type: PeriodType
    min_prediction_periods: int = Field(default=0, ge=0)
    max_prediction_periods: int = Field(default=100, ge=0)
    allow_free_additional_continuous_covariates: bool = False
    required_covariates: list[str] = Field(default_factory=list[str])
    requires_geo: bool = False
    target: str = Field(default="disease_cases", exclude=True)
    hpo_search_space: dict[str, Any] | None = Field(default=None, exclude=True)
    summary: str | None = Field(default=None, exclude=True)
    contact: dict[str, str] | None = Field(default=None, exclude=True)
    license_info: dict[str, str] | None = Field(default=None, exclude=True)
    git_revision: str | None = Field(default=None, pattern=REVISION, description="From `GIT_REVISION`, if set.")

    @field_validator("git_revision", mode="before")
    @classmethod
    def _ignore_empty(cls, value: Any) -> Any:
        # What an unset build argument leaves in the environment.
        return value or None

    @model_validator(mode="after")
    def _check_periods(self) -> "MLServiceInfo":
        if self.min_prediction_periods > self.max_prediction_periods:
            raise ValueError("min_prediction_periods is greater than max_prediction_periods")
        if self.git_revision is None:
            found = Environment().text("GIT_REVISION") or ""
            self.git_revision = found if re.fullmatch(REVISION, found) else None
        return self

    @model_serializer(mode="wrap")
    def _leave_out_unknown_revision(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Older platforms refuse keys that they do not know, so this one is sent only when it says something.
        document: dict[str, Any] = handler(self)
        if document.get("git_revision") is None:
            document.pop("git_revision", None)
        return document


@dataclass(frozen=True)
class InfoFeature(Feature):
    """Answers `/api/v1/info`."""

    kind: ClassVar[str] = "info"

    info: ServiceInfo
    prefix: str = "/api/v1/info"
    tags: tuple[str, ...] = ("Service",)

    def routers(self) -> Iterable[APIRouter]:
        """Return the route."""
        router = APIRouter(tags=list(self.tags))

        async def read_info() -> Any:
            return self.info

        router.add_api_route(
            self.prefix, read_info, methods=["GET"], response_model=type(self.info), summary="About this service"
        )
        yield router


def _slug(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.lower())
    text = "-".join(words)
    return text if re.fullmatch(SLUG, text) else f"service-{text}".rstrip("-")

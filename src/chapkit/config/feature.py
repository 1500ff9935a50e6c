"""Configurations as a feature of a service."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from fastapi import APIRouter

from chapkit.config.manager import ConfigManager, ConfigShape
from chapkit.config.models import DEFAULT_KIND, Config
from chapkit.config.repository import ConfigRepository
from chapkit.config.router import ConfigRouter
from chapkit.config.schemas import BaseConfig
from chapkit.core.models import Base
from chapkit.core.services import Key, Services
from chapkit.web.dependencies import provided
from chapkit.web.feature import CrudPermissions, Feature


@dataclass(frozen=True)
class ConfigFeature(Feature):
    """Stores configurations of one schema."""

    kind: ClassVar[str] = "config"

    schema: type[BaseConfig]
    name: str = DEFAULT_KIND
    prefix: str = "/api/v1/configs"
    tags: tuple[str, ...] = ("Config",)
    permissions: CrudPermissions = field(default_factory=CrudPermissions)

    @property
    def key(self) -> str:
        """Several configuration schemas live side by side under different names."""
        return f"{self.kind}:{self.name}"

    @cached_property
    def shape(self) -> ConfigShape[Any]:
        """The schema with its fingerprint."""
        return ConfigShape(self.schema)

    def models(self) -> Iterable[type[Base]]:
        """Return the table of configurations."""
        yield Config

    def register(self, services: Services) -> None:
        """Bring a `ConfigManager` for each unit of work."""
        services.scoped(
            Key(ConfigManager, self.name),
            lambda scope: ConfigManager(ConfigRepository(scope.session, self.name), self.schema, self.shape),
        )

    def routers(self) -> Iterable[APIRouter]:
        """Return the routes of the collection."""
        yield ConfigRouter.create(
            self.prefix,
            self.tags,
            self.shape.in_schema,
            self.shape.out_schema,
            provided(Key(ConfigManager, self.name)),
            permissions=self.permissions,
        )

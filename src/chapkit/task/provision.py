"""What users provide for the parameters of functions, as part of a service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from chapkit.core.services import Services
from chapkit.web.feature import Feature


@dataclass(frozen=True)
class Provision:
    """How a value of a type is made for the functions of tasks."""

    kind: type[Any]
    factory: Callable[..., Any]
    scope: Literal["app", "job"] = "job"


class Provisions(list[Provision]):
    """Port: what users provide in one service."""


@dataclass(frozen=True)
class ProvisionFeature(Feature):
    """Keeps what the builder's `provide(...)` was told."""

    kind: ClassVar[str] = "provision"

    provisions: tuple[Provision, ...] = ()

    def register(self, services: Services) -> None:
        """Hand the provisions to the feature that runs functions."""
        services.add(Provisions, Provisions(self.provisions))

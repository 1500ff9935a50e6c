"""The runners of a service, as clients see them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field


class RunnerDescription(BaseModel):
    """One runner, and where to call it."""

    name: str | None = Field(description="Null for the runner without a name.")
    is_default: bool = Field(description="Whether it answers without a name in the path.")
    train: str = Field(description="Path for trainings.")
    predict: str = Field(description="Path for predictions.")
    config_schema: dict[str, Any] = Field(description="JSON Schema of its configurations.")
    train_function: str
    predict_function: str
    takes_geo: bool = Field(description="Whether one of its functions asks for polygons.")
    requires_geo: bool = False
    required_columns: Sequence[str] = ()
    executor: str | None = None
    tags: Sequence[str] = ()


@dataclass
class Runners:
    """Port: each runner says what it is."""

    descriptions: list[RunnerDescription] = field(default_factory=list[RunnerDescription])

    def add(self, description: RunnerDescription) -> None:
        """Let clients know of the runner."""
        self.descriptions.append(description)

"""What every resource looks like on the wire."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, computed_field

from chapkit.core.ids import ULID
from chapkit.core.types import Tags, UtcDatetime

ItemT = TypeVar("ItemT")


class EntityIn(BaseModel):
    """What a client may send of any entity."""

    id: ULID | None = Field(default=None, description="Chosen by the service when left out.")
    tags: Tags = Field(default_factory=list[str], description="Labels to find the entity by.")


class EntityOut(BaseModel):
    """What the service tells of any entity."""

    model_config = ConfigDict(from_attributes=True)

    id: ULID
    created_at: UtcDatetime
    updated_at: UtcDatetime
    tags: list[str] = Field(default_factory=list[str])


class PaginatedResponse(BaseModel, Generic[ItemT]):
    """One page of a collection."""

    items: list[ItemT]
    total: int = Field(ge=0)
    page: int = Field(ge=1)
    size: int = Field(ge=1)

    @computed_field  # type: ignore[prop-decorator]  # pydantic documents this order of decorators
    @property
    def pages(self) -> int:
        """Number of pages of this size."""
        return -(-self.total // self.size)


class CollectionStats(BaseModel):
    """Numbers about a collection."""

    total: int = Field(ge=0)


class BulkOperationError(BaseModel):
    """Why one item of a bulk request was refused."""

    index: int = Field(ge=0)
    id: str | None = None
    status: int
    code: str
    detail: str
    errors: list[dict[str, Any]] | None = None


class BulkOperationResult(BaseModel, Generic[ItemT]):
    """What became of each item of a bulk request; `items` holds null where one was refused."""

    total: int = Field(ge=0)
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)
    items: list[ItemT | None] = []
    errors: list[BulkOperationError] = Field(default_factory=list[BulkOperationError])


class ProblemDetail(BaseModel):
    """A problem in the form of RFC 9457; further members depend on `code`."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int = Field(ge=100, le=599)
    code: str = "internal"
    detail: str | None = None
    instance: str | None = None
    trace_id: str | None = None

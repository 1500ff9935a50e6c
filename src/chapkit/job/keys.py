"""The key that makes a repeated request the same job, as a header."""

from typing import Annotated, TypeAlias

from fastapi import Header
from pydantic import AfterValidator


def _key_or_none(value: str | None) -> str | None:
    # An empty header is what a client sends that has no key.
    return value if value and not value.isspace() else None


IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="The same key and body return the first job"),
    AfterValidator(_key_or_none),
]

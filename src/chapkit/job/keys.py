"""The key that makes a repeated request the same job, as a header."""

import hashlib
import json
from typing import Annotated, TypeAlias

from fastapi import Header
from pydantic import AfterValidator
from pydantic_core import from_json

_SORTED_UP_TO = 64 * 1024


def _key_or_none(value: str | None) -> str | None:
    # An empty header is what a client sends that has no key.
    return value if value and not value.isspace() else None


IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="The same key and body return the first job"),
    AfterValidator(_key_or_none),
]


def fingerprint_of(body: bytes) -> str:
    """Return what tells two bodies of JSON apart: not spaces, not the order of members; of large ones every byte."""
    if len(body) <= _SORTED_UP_TO:
        body = json.dumps(from_json(body or b"{}"), sort_keys=True).encode()
    return hashlib.sha256(body).hexdigest()

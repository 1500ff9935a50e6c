"""The key that makes a repeated request the same job, as a header."""

import hashlib
import json
from contextlib import suppress
from typing import Annotated, TypeAlias

from anyio import to_thread
from fastapi import Header
from pydantic import AfterValidator
from pydantic_core import from_json

_SORTED_UP_TO = 64 * 1024


def _key_or_none(value: str | None) -> str | None:
    # An empty header is what a client sends that has no key.
    return value if value and not value.isspace() else None


IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="The same key and body answer as the first time"),
    AfterValidator(_key_or_none),
]


def fingerprint_of(body: bytes) -> str:
    """Return what tells two bodies of JSON apart: not spaces, not the order of members; of large ones every byte."""
    if len(body) <= _SORTED_UP_TO:
        # What is no JSON is for others to refuse.
        with suppress(ValueError):
            body = json.dumps(from_json(body or b"{}"), sort_keys=True).encode()
    return hashlib.sha256(body).hexdigest()


async def fingerprint_under(key: str | None, body: bytes) -> str | None:
    """Return the fingerprint of a body that was sent with a key, without holding up others by a large one."""
    if key is None:
        return None
    return fingerprint_of(body) if len(body) <= _SORTED_UP_TO else await to_thread.run_sync(fingerprint_of, body)

"""Payloads of training and prediction jobs, and how they come back to the handlers."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from chapkit.artifact.storage import ContentStorage
from chapkit.core.faults import reach
from chapkit.data.parse import loads_chunked
from chapkit.job.context import JobContext
from chapkit.ml.cache import ParsedRequests
from chapkit.ml.polygons import with_places

RequestT = TypeVar("RequestT", bound=BaseModel)
_INLINE_LIMIT = 64 * 1024
_BODY = "body"


@dataclass(frozen=True)
class StoredBody:
    """A request body as the job keeps it: in its row, or as a blob."""

    payload: Mapping[str, Any]
    blob: str | None


async def store_body(body: bytes, payload: Mapping[str, Any], storage: ContentStorage) -> StoredBody:
    """Keep the body exactly as it was sent; large ones are written before any transaction."""
    if len(body) <= _INLINE_LIMIT:
        # What is nested so deeply that it cannot be read as a part of something else stays for itself, too.
        with suppress(ValueError):
            return StoredBody({**payload, **from_json(b'{"%b":%b}' % (_BODY.encode(), body))}, None)
    ref = await storage.large.put(body)
    reach("payload.between-blob-and-job")
    return StoredBody(payload, ref.sha256)


async def stored_body(payload: Mapping[str, Any], blob: str | None, storage: ContentStorage) -> bytes:
    """Return the body of a request as its job keeps it."""
    return to_json(payload[_BODY]) if blob is None else bytes(await storage.large.read(blob))


async def load_request(context: JobContext, schema: type[RequestT]) -> RequestT:
    """Return the request of a job: the parsed one of this process, or the stored body, parsed again."""
    parsed = context.services.get(ParsedRequests).take(context.artifact_id)
    if isinstance(parsed, schema):
        return parsed
    if context.payload_blob is None:
        return schema.model_validate(context.payload[_BODY])
    body = await context.services.get(ContentStorage).large.read(context.payload_blob)
    return await run_sync(lambda: schema.model_validate(with_places(loads_chunked(body))))

"""Payloads of tasks, and how they come back: parameters that are too large for a row are a content of their own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from chapkit.artifact.storage import ContentStorage
from chapkit.job.context import JobContext
from chapkit.job.schemas import JobSpec

PARAMETERS = "parameters"
INLINE_LIMIT = 64 * 1024
"""Bytes of parameters that stand in the row of a job."""


async def with_stored_parameters(spec: JobSpec, storage: ContentStorage) -> JobSpec:
    """Return the job with large parameters put aside; called outside of a transaction."""
    parameters = spec.payload.get(PARAMETERS)
    text = to_json(parameters) if parameters else b""
    if len(text) <= INLINE_LIMIT:
        return spec
    ref = await storage.large.put(text)
    payload = {name: value for name, value in spec.payload.items() if name != PARAMETERS}
    return replace(spec, payload=payload, payload_blob=ref.sha256)


async def whole_payload(context: JobContext) -> Mapping[str, Any]:
    """Return the payload with its parameters, wherever they are."""
    if context.payload_blob is None:
        return context.payload
    text = await context.services.get(ContentStorage).large.read(context.payload_blob)
    return {**context.payload, PARAMETERS: from_json(text)}

"""Server-sent events."""

import re
from collections.abc import AsyncIterable

from starlette.responses import StreamingResponse

SSE_HEADERS = {"Cache-Control": "no-cache", "Connection": "keep-alive", "X-Accel-Buffering": "no"}
_line_ends = re.compile(r"\r\n|\r|\n")
HEARTBEAT = b": keep-alive\n\n"


def format_sse_event(data: str, *, id: str | None = None, event: str | None = None) -> bytes:
    """Return one event as it stands in the stream."""
    lines = [f"id: {id}"] if id is not None else []
    if event is not None:
        lines.append(f"event: {event}")
    lines.extend(f"data: {line}" for line in _line_ends.split(data))
    return ("\n".join(lines) + "\n\n").encode()


def event_stream(chunks: AsyncIterable[bytes]) -> StreamingResponse:
    """Return the answer that sends the events as they come."""
    return StreamingResponse(chunks, media_type="text/event-stream", headers=SSE_HEADERS)

"""Sending a stored content: whole, in part, or not at all where the client has it."""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chapkit.artifact.codecs import JSON_MEDIA_TYPE, FrameCodec, base_type
from chapkit.artifact.models import Artifact
from chapkit.artifact.storage import ContentStorage
from chapkit.core.errors import RangeNotSatisfiableError
from chapkit.web.responses import matches

_SUFFIXES: Mapping[str, str] = {
    "application/json": ".json",
    "application/geo+json": ".geojson",
    "application/zip": ".zip",
    "application/pdf": ".pdf",
    "application/vnd.chapkit.model+pickle": ".pickle",
    "application/vnd.apache.parquet": ".parquet",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/svg+xml": ".svg",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
}
_NAME_LENGTH = 100
_range = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII).fullmatch


async def download(request: Request, artifact: Artifact, storage: ContentStorage) -> Response:
    """Return the answer that carries the content of an artifact; a frame goes out as an array of objects."""
    records = FrameCodec().reads(artifact.media_type)
    etag = f'"{artifact.sha256}-records"' if records else f'"{artifact.sha256}"'
    media_type = JSON_MEDIA_TYPE if records else artifact.media_type
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": _disposition(artifact, media_type),
        # What was stored may be a page with scripts; no browser shall run it in the name of this service.
        "X-Content-Type-Options": "nosniff",
    }
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if records:
        content = await _records(artifact, storage)
        return _whole_or_part(request, content, headers, media_type)
    await storage.require(artifact.sha256)
    part = _wanted_part(request, artifact.size, etag)
    start, end = part or (0, artifact.size)
    _describe_part(headers, part, artifact.size)
    body = storage.open(artifact.sha256, start, end if part else None)
    return _typed(StreamingResponse(body, 206 if part else 200, headers), media_type)


async def _records(artifact: Artifact, storage: ContentStorage) -> bytes:
    stored = b"".join([piece async for piece in storage.open(artifact.sha256)])
    return await to_thread.run_sync(_as_records, stored)


def _as_records(content: bytes) -> bytes:
    # Lazy: services without frames need none of it.
    from chapkit.data.decode import decode_rows
    from chapkit.data.fields import rows_per_chunk

    frame = decode_rows(content)
    step = rows_per_chunk(len(frame.columns))
    parts = [
        to_json([dict(zip(frame.columns, row, strict=True)) for row in frame.data[start : start + step]])[1:-1]
        for start in range(0, len(frame.data), step)
    ]
    return b"[" + b",".join(parts) + b"]"


def _whole_or_part(request: Request, content: bytes, headers: dict[str, str], media_type: str) -> Response:
    part = _wanted_part(request, len(content), headers["ETag"])
    start, end = part or (0, len(content))
    _describe_part(headers, part, len(content))
    return _typed(Response(content[start:end], 206 if part else 200, headers), media_type)


def _wanted_part(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """The one range that is asked for, as half-open interval; several, or what nobody understands, mean everything."""
    wanted = _range(request.headers.get("range", "").replace(" ", ""))
    condition = request.headers.get("if-range")
    if wanted is None or wanted.groups() == ("", "") or (condition is not None and condition != etag):
        return None
    first, last = wanted.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiableError(
            f"The content has {size} bytes, and none of them lies in the range that was asked for",
            code="range-not-satisfiable",
            content_range=f"bytes */{size}",
        )
    return start, end


def _describe_part(headers: dict[str, str], part: tuple[int, int] | None, size: int) -> None:
    start, end = part or (0, size)
    headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"


def _typed(response: Response, media_type: str) -> Response:
    # Set by hand, because Starlette adds a character set to every text.
    response.headers["Content-Type"] = media_type if _is_header_safe(media_type) else "application/octet-stream"
    return response


def _disposition(artifact: Artifact, media_type: str) -> str:
    name = _file_name(artifact.info, f"{artifact.type}-{artifact.id}{_SUFFIXES.get(base_type(media_type), '.bin')}")
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())
    disposition = f'attachment; filename="{plain.lstrip(".") or "content"}"'
    return disposition if plain == name else f"{disposition}; filename*=UTF-8''{quote(name, safe='')}"


def _file_name(metadata: Mapping[str, Any], otherwise: str) -> str:
    given = metadata.get("filename")
    name = PurePosixPath(given.replace("\\", "/")).name if isinstance(given, str) else otherwise
    name = "".join(character for character in name if character.isprintable() and character not in '/"')
    return name[-_NAME_LENGTH:].strip(". ") or "content"


def _is_header_safe(text: str) -> bool:
    return text.isascii() and text.isprintable()

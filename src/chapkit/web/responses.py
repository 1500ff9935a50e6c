"""Answers whose bytes are ready."""

import hashlib
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

JSON = "application/json"


def json_bytes(content: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer of JSON that is already serialised."""
    return Response(content, status, headers, JSON)


def with_etag(request: Request, content: bytes, etag: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the content with its tag, or 304 where the client has it already."""
    all_headers = {"ETag": etag, **(headers or {})}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=all_headers)
    return json_bytes(content, headers=all_headers)


def content_etag(content: bytes) -> str:
    """Return a tag of these bytes."""
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def matches(header: str | None, etag: str) -> bool:
    """Tell whether an `If-Match` or `If-None-Match` header names the tag."""
    if header is None:
        return False
    names = [name.strip().removeprefix("W/") for name in header.split(",")]
    return "*" in names or etag in names


def location_of(request: Request, path: str) -> str:
    """Return the absolute URL of a path of this service, behind the prefix that a proxy adds."""
    root: Any = request.scope.get("root_path", "")
    return f"{request.url.scheme}://{request.url.netloc}{root.rstrip('/')}{path}"

"""Every error as a problem of RFC 9457; the one table from kinds to HTTP statuses."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ExceptionHandler

from chapkit.core.database_errors import translate
from chapkit.core.errors import URN_PREFIX, ChapkitError
from chapkit.core.logging import get_logger

MEDIA_TYPE = "application/problem+json"
_MAX_INPUT_LENGTH = 200
TOO_LARGE = "The body is larger than this service accepts"
_WITHOUT_BODY = (204, 205, 304)
_PASSING_KINDS = ("unavailable", "too-many-requests")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Kind:
    """How a family of errors looks on the wire."""

    status: int
    title: str
    name: str | None = None
    """Name of the problem type, where it is not the kind's own."""


KINDS: Mapping[str, Kind] = {
    "bad-request": Kind(400, "Bad Request"),
    "validation-failed": Kind(400, "Validation Failed"),
    "invalid-ulid": Kind(400, "Invalid ULID Format"),
    "unauthorized": Kind(401, "Unauthorized"),
    "forbidden": Kind(403, "Forbidden"),
    "not-found": Kind(404, "Resource Not Found"),
    "method-not-allowed": Kind(405, "Method Not Allowed"),
    "conflict": Kind(409, "Resource Conflict"),
    "precondition-failed": Kind(412, "Precondition Failed"),
    "too-large": Kind(413, "Content Too Large"),
    "unsupported-media-type": Kind(415, "Unsupported Media Type"),
    "range-not-satisfiable": Kind(416, "Range Not Satisfiable"),
    "unprocessable": Kind(422, "Validation Failed", "validation-failed"),
    "too-many-requests": Kind(429, "Too Many Requests"),
    "internal": Kind(500, "Internal Server Error"),
    "unavailable": Kind(503, "Service Unavailable"),
    "storage-full": Kind(507, "Insufficient Storage"),
}
_KIND_OF_STATUS: Mapping[int, str] = {
    kind.status: name
    for name, kind in reversed(list(KINDS.items()))
    if name not in ("validation-failed", "invalid-ulid")
}


def status_of(error: ChapkitError) -> int:
    """Return the HTTP status of an error."""
    return KINDS.get(error.kind, KINDS["internal"]).status


def problem(
    request: Request | None,
    kind: str,
    detail: str | None,
    *,
    code: str | None = None,
    status: int | None = None,
    instance: str | None = None,
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer that tells of a problem."""
    row = KINDS.get(kind, KINDS["internal"])
    body: dict[str, Any] = {
        "type": URN_PREFIX + (row.name or kind),
        "title": row.title,
        "status": status or row.status,
        "code": code or kind,
        "detail": detail,
        "instance": instance or (request.url.path if request is not None else None),
        "trace_id": getattr(request.state, "request_id", None) if request is not None else None,
    }
    body.update({name: value for name, value in (members or {}).items() if name not in body})
    present = {name: value for name, value in body.items() if value is not None}
    return Response(_write(present), body["status"], headers, MEDIA_TYPE)


def _write(body: dict[str, Any]) -> bytes:
    try:
        return to_json(body, fallback=str)
    except (PydanticSerializationError, UnicodeEncodeError):
        # It repeats a text of the client that is no Unicode; escaped, it can be sent.
        return json.dumps(body, default=str).encode()


def problem_of(error: ChapkitError, request: Request | None = None) -> Response:
    """Return the answer for an error of chapkit."""
    headers: dict[str, str] = {}
    if error.kind in _PASSING_KINDS:
        headers["Retry-After"] = str(error.extensions.get("retry_after", 1))
    if error.kind == "unauthorized":
        headers["WWW-Authenticate"] = "ApiKey"
    if error.kind == "range-not-satisfiable" and "content_range" in error.extensions:
        headers["Content-Range"] = str(error.extensions["content_range"])
    return problem(
        request,
        error.kind,
        error.detail,
        code=error.code,
        instance=error.instance,
        members=error.extensions,
        headers=headers,
    )


def describe_validation(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Return what is wrong with a body: where, what was expected, what was found (shortened)."""
    return [
        {
            "loc": list(error["loc"]),
            "msg": error["msg"],
            "type": error["type"],
            "field": ".".join(str(part) for part in error["loc"] if part != "body"),
            "found": repr(error.get("input"))[:_MAX_INPUT_LENGTH],
        }
        for error in errors
    ]


async def _on_chapkit_error(request: Request, error: ChapkitError) -> Response:
    if status_of(error) >= 500:
        get_logger("chapkit.web").error("request.failed", code=error.code, detail=error.detail)
    return problem_of(error, request)


async def _on_request_validation(request: Request, error: RequestValidationError) -> Response:
    errors = describe_validation(error.errors())
    broken = next((item for item in errors if item["type"] == "json_invalid"), None)
    if broken is not None:
        position = broken["loc"][-1]
        detail = f"The body is no JSON: it goes wrong at position {position}"
        return problem(request, "unprocessable", detail, code="json-invalid", members={"position": position})
    return _invalid(request, errors)


async def _on_pydantic_validation(request: Request, error: PydanticValidationError) -> Response:
    return _invalid(request, describe_validation(error.errors(include_url=False, include_context=False)))


def _invalid(request: Request, errors: list[dict[str, Any]]) -> Response:
    first = errors[0]["msg"] if errors else "invalid"
    where = errors[0]["field"] if errors else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{where}: {first}{more}" if where else first + more
    return problem(request, "unprocessable", detail, code="request-invalid", members={"errors": errors})


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    kind = _KIND_OF_STATUS.get(error.status_code, "bad-request" if error.status_code < 500 else "internal")
    detail = str(error.detail)
    if error.status_code == 404 and detail == "Not Found":
        return problem(request, kind, f"There is nothing at {request.url.path}", code="route-unknown")
    if error.status_code == 413:
        return problem(request, kind, TOO_LARGE, code="body-too-large")
    if error.status_code == 405:
        detail, headers = f"{request.method} is not possible at {request.url.path}", {"Allow": _allowed(request)}
        return problem(request, kind, detail, headers=headers)
    if error.status_code in _WITHOUT_BODY:
        return Response(status_code=error.status_code, headers=error.headers)
    return problem(request, kind, detail, status=error.status_code, headers=error.headers)


def _allowed(request: Request) -> str:
    # The router names the methods of the first route at this path only.
    routes = request.app.router.routes
    methods = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return ", ".join(["HEAD", *methods] if "GET" in methods else methods)


async def _on_unencodable(request: Request, error: ValueError) -> Response:
    if "surrogates not allowed" not in str(error):
        raise error
    detail = "A text of the request holds half of a surrogate pair, which is no character; send whole characters"
    return problem(request, "unprocessable", detail, code="text-not-unicode")


async def _on_database_error(request: Request, error: SQLAlchemyError) -> Response:
    return await _on_chapkit_error(request, translate(error))


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of the application with a problem."""
    handlers: dict[Any, Any] = {
        ChapkitError: _on_chapkit_error,
        RequestValidationError: _on_request_validation,
        PydanticValidationError: _on_pydantic_validation,
        HTTPException: _on_http_exception,
        SQLAlchemyError: _on_database_error,
        UnicodeEncodeError: _on_unencodable,
        PydanticSerializationError: _on_unencodable,
    }
    for kind, handler in handlers.items():
        typed: ExceptionHandler = handler
        app.add_exception_handler(kind, typed)

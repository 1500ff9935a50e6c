"""Conditional requests: act only on the state that the caller saw."""

from starlette.requests import Request

from chapkit.core.errors import PreconditionFailedError
from chapkit.web.responses import matches


def require_match(request: Request, etag: str) -> None:
    """Compare the `If-Match` header, if there is one, with the present state.

    Raises:
        PreconditionFailedError: The entity was changed since (`etag-mismatch`).
    """
    expected = request.headers.get("if-match")
    if expected is not None and not matches(expected, etag):
        raise PreconditionFailedError(
            "The entity was changed in the meantime; read it again and repeat the change",
            code="etag-mismatch",
            found=etag,
        )

"""What the OpenAPI document says of problems."""

from typing import Any

from chapkit.core.schemas import ProblemDetail
from chapkit.web.problems import KINDS, MEDIA_TYPE


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer with these problems."""
    titles = {kind.status: kind.title for kind in reversed(list(KINDS.values()))}
    return {
        status: {"model": ProblemDetail, "description": titles[status], "content": {MEDIA_TYPE: {}}}
        for status in statuses
    }

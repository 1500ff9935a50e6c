"""Requests as values: what to send, and how to read the answer. Nothing here sends."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from chapkit.client.errors import ClientError, UnexpectedAnswer

ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)
Parameters: TypeAlias = tuple[tuple[str, str], ...]
Body: TypeAlias = Any
"""A mapping, a Pydantic model, or a list of these."""
_LONGEST_KEY = 255


@dataclass(frozen=True)
class Call(Generic[ResultT_co]):
    """One request and the reader of its answer."""

    method: str
    path: str
    read: Callable[[httpx.Response], ResultT_co]
    params: Parameters = ()
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    accepted: frozenset[int] = frozenset()
    """Statuses beside 2xx that are answers to read and no errors."""
    waits: float = 0.0
    """Seconds that the service may let the answer wait, beyond what the client's own limit grants."""

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Return the request as `client` would send it."""
        headers = dict(self.headers)
        if self.content is not None:
            headers.setdefault("Content-Type", "application/json")
        return client.build_request(
            self.method,
            self.path,
            params=self.params or None,
            content=self.content,
            headers=headers,
            timeout=_longer(client.timeout, self.waits),
        )


def encode(body: Body) -> bytes:
    """Return the JSON of a body.

    Raises:
        ClientError: JSON cannot carry it (`not-serializable`).
    """
    try:
        return to_json(body)
    except PydanticSerializationError as error:
        raise ClientError(f"This cannot be sent as JSON: {error}", code="not-serializable") from error


def keyed(key: str | None) -> dict[str, str]:
    """Return the header under which a repeated request is the same one.

    Raises:
        ClientError: A header cannot carry the key (`idempotency-key-invalid`).
    """
    if key is None:
        return {}
    if not key or key != key.strip() or len(key) > _LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise ClientError(
            f"A header cannot carry the key {key[:_LONGEST_KEY]!r}; take 1 to {_LONGEST_KEY} ASCII characters without "
            "control characters, and no space at either end: str(uuid4())",
            code="idempotency-key-invalid",
        )
    return {"Idempotency-Key": key}


def present(**members: Any) -> dict[str, Any]:
    """Return the members that are not `None`."""
    return {name: value for name, value in members.items() if value is not None}


def parameters(members: Iterable[tuple[str, Any]]) -> Parameters:
    """Return the query of a request without what is `None`, spelt as the service reads it."""
    return tuple((name, _spell(value)) for name, value in members if value is not None)


def segment(text: str) -> str:
    """Return an identifier as one segment of a path."""
    return quote(str(text), safe="")


def reader(adapter: TypeAdapter[ResultT]) -> Callable[[httpx.Response], ResultT]:
    """Return a function that reads an answer as the adapter's type."""

    def read(response: httpx.Response) -> ResultT:
        try:
            return adapter.validate_json(response.content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise UnexpectedAnswer(
                f"{response.request.method} {response.request.url.path} answered something unexpected "
                f"({where}: {first['msg']}). Is this the right service, and of a version that fits this client?",
                code="answer-unexpected",
            ) from error

    return read


def nothing(response: httpx.Response) -> None:
    """Read an answer without content."""


def etag_of(response: httpx.Response) -> str:
    """Return the tag of the state that an answer shows."""
    return str(response.headers.get("ETag", ""))


def if_match(etag: str | None) -> dict[str, str]:
    """Return the headers that make a change depend on the state being the one of `etag`."""
    return {} if etag is None else {"If-Match": etag}


def _longer(limits: httpx.Timeout, seconds: float) -> httpx.Timeout:
    if limits.read is None or not seconds:
        return limits
    return httpx.Timeout(connect=limits.connect, read=limits.read + seconds, write=limits.write, pool=limits.pool)


def _spell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

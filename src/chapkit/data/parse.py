"""JSON bodies of many megabytes, parsed in steps so that other threads get their turn."""

import re
import secrets
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from chapkit.core.errors import BadRequestError

_WHOLE_BYTES = 256 * 1024
_CHUNK_BYTES = 128 * 1024
_MOST_ATTEMPTS = 64

_KEYS = (b'"data"', b'"features"')
_ARRAY = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*\[")
_BOUNDARY = re.compile(rb"\][ \t\r\n]*,[ \t\r\n]*\[|\}[ \t\r\n]*,[ \t\r\n]*\{")
_COMMA = re.compile(rb"[ \t\r\n]*,")
_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_PLACE = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)
_NO_NUMBER = re.compile(rb"-?(?:NaN|Infinity)")


class _BrokenJsonError(Exception):
    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


@dataclass
class _Cut:
    """An array that was taken out of the body, and parsed on its own."""

    start: int
    end: int
    items: list[Any]


@dataclass
class _Envelope:
    """The body with a short text in the place of every array that was taken out."""

    body: bytes
    mark: str
    cuts: list[_Cut]
    text: bytearray = field(default_factory=bytearray)
    places: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def build(self) -> bytes:
        """Return the text, and keep in mind where its parts come from."""
        begin = 0
        for number, cut in enumerate(self.cuts):
            self._add(begin, cut.start)
            self.text += f'"{self.mark}{number}"'.encode()
            begin = cut.end
        self._add(begin, len(self.body))
        return bytes(self.text)

    def _add(self, start: int, end: int) -> None:
        self.places.append((len(self.text), start))
        self.text += self.body[start:end]

    def origin(self, offset: int) -> int:
        """Return the place in the body of a place in the text."""
        here, there = self.places[bisect_right(self.places, (offset, len(self.body))) - 1]
        return there + offset - here


def loads_chunked(body: bytes) -> Any:
    """Return the value of a JSON text, as `json.loads` does, without keeping other threads waiting for long.

    The rows of large frames (`"data"`) and the features of large maps are parsed piece by piece. `NaN` and `Infinity`,
    which JSON does not have, are refused.

    Raises:
        BadRequestError: `json-invalid`; `position` is the byte at which the text goes wrong.
    """
    try:
        if len(body) < _WHOLE_BYTES:
            return _parse(body, lambda offset: offset)
        return _parse_in_steps(body)
    except _BrokenJsonError as error:
        raise _refusal(body, error) from error


def _parse_in_steps(body: bytes) -> Any:
    cuts = _cuts(body)
    mark = f"chapkit:{secrets.token_hex(16)}:"
    envelope = _Envelope(body, mark, cuts)
    value = _parse(envelope.build(), envelope.origin)
    if cuts:
        _fill(value, {f"{mark}{number}": cut.items for number, cut in enumerate(cuts)})
    return value


def _cuts(body: bytes) -> list[_Cut]:
    found: list[_Cut] = []
    position = 0
    for _ in range(_MOST_ATTEMPTS):
        start = _next_array(body, position)
        if start is None:
            break
        cut = _array(body, start)
        if cut is not None:
            found.append(cut)
        position = start + 1 if cut is None else cut.end
    return found


def _next_array(body: bytes, position: int) -> int | None:
    """Return where the next array begins that may be large.

    A quoted key that is no key is no danger: then one of its quotes ends a text, the rest of it stands in the
    envelope outside of any text, and the envelope is refused as it should be.
    """
    while len(body) - position > _CHUNK_BYTES:
        places = [place for key in _KEYS if (place := body.find(key, position)) >= 0]
        if not places:
            return None
        place = min(places)
        position = body.index(b'"', place + 1) + 1
        opening = _ARRAY.match(body, position)
        # After a backslash the quote belongs to a text.
        if opening is not None and body[place - 1 : place] != b"\\":
            return opening.end() - 1
    return None


def _array(body: bytes, start: int) -> _Cut | None:
    """Parse the array that begins at `start`; None if it is small enough for the envelope."""
    items: list[Any] = []
    position = start + 1
    while True:
        boundary = _BOUNDARY.search(body, position + _CHUNK_BYTES, position + 2 * _CHUNK_BYTES)
        if boundary is not None:
            try:
                items += _parse_items(body, position, boundary.start() + 1)
                position = boundary.end() - 1
                continue
            except _BrokenJsonError as error:
                if error.reason == "trailing characters":
                    return _last(body, start, position, error.offset, items)
        # The boundary lies in a text or in a cell: look at every bracket to find a better one.
        end, comma = _scan(body, position)
        if comma is None:
            return _last(body, start, position, end, items)
        items += _parse_items(body, position, end)
        position = comma


def _last(body: bytes, start: int, position: int, limit: int, items: list[Any]) -> _Cut | None:
    if not items and limit - start < _CHUNK_BYTES:
        return None
    closing = body.rfind(b"]", position, limit)
    if closing < 0:
        raise _BrokenJsonError("expected `]`", limit - 1)
    items += _parse_items(body, position, closing, allow_empty=not items)
    return _Cut(start, closing + 1, items)


def _scan(body: bytes, position: int) -> tuple[int, int | None]:
    """Return the end of an item beyond the size of a chunk and what follows its comma, or the end of the array."""
    depth = 1
    for match in _BRACKET.finditer(body, position):
        kind = body[match.start()]
        if kind in b"[{":
            depth += 1
        elif kind in b"]}":
            depth -= 1
            if depth == 0:
                return match.end(), None
            if depth == 1 and match.end() - position >= _CHUNK_BYTES and (comma := _COMMA.match(body, match.end())):
                return match.end(), comma.end()
    raise _BrokenJsonError("EOF while parsing a list", len(body))


def _parse_items(body: bytes, start: int, end: int, *, allow_empty: bool = False) -> list[Any]:
    items: list[Any] = _parse(b"[" + body[start:end] + b"]", lambda offset: start + offset - 1)
    if not items and not allow_empty:
        raise _BrokenJsonError("expected value", end)
    return items


def _parse(text: bytes, origin: Callable[[int], int]) -> Any:
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        place = _PLACE.fullmatch(str(error))
        if place is None:
            raise _BrokenJsonError(str(error), -1) from error
        line, column = int(place[2]), int(place[3])
        begin = len(text) - len(text.split(b"\n", line - 1)[-1])
        raise _BrokenJsonError(place[1], origin(begin + max(0, column - 1))) from error


def _fill(value: Any, arrays: dict[str, list[Any]]) -> None:
    """Put the arrays into their places; the top of the document is searched first."""
    waiting: deque[Any] = deque([value])
    while waiting and arrays:
        found = waiting.popleft()
        members = found.items() if hasattr(found, "items") else enumerate(found)
        for key, member in members:
            if type(member) is str:
                if member in arrays:
                    found[key] = arrays.pop(member)
            elif type(member) is dict or type(member) is list:
                waiting.append(member)


def _refusal(body: bytes, error: _BrokenJsonError) -> BadRequestError:
    literal = _NO_NUMBER.search(body, max(0, error.offset - 10), error.offset + 10)
    if literal is not None and literal.start() - 1 <= error.offset <= literal.end():
        word = literal[0].decode()
        return BadRequestError(
            f"{word} is not JSON (byte {literal.start()}): send null for a missing value",
            code="json-invalid",
            position=literal.start(),
        )
    if error.offset < 0:
        return BadRequestError(f"this is not JSON: {error.reason}", code="json-invalid")
    return BadRequestError(
        f"this is not JSON: {error.reason}, at byte {error.offset}", code="json-invalid", position=error.offset
    )

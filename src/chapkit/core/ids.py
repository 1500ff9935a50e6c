"""ULIDs: identifiers that sort by the time of their making."""

import re
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from chapkit.core.errors import InvalidULIDError

PATTERN = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_fits = re.compile(PATTERN).fullmatch


class _Sequence:
    """Numbers that rise within the process, whatever the clock does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        fresh = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
        with self._lock:
            if fresh >> 80 <= self._last >> 80:
                fresh = self._last + 1
            self._last = fresh
            return fresh


_sequence = _Sequence()


class ULID(str):
    """A ULID in its one written form: 26 upper-case characters of Crockford's base 32.

    Called without an argument it makes a new one that is greater than all made before in
    this process. It is a `str`, so it goes into JSON, URLs and databases as it is.
    """

    __slots__ = ()

    def __new__(cls, value: object = None) -> Self:
        """Return the ULID that `value` spells, or a new one."""
        if value is None:
            return str.__new__(cls, _encode(_sequence.next()))
        if type(value) is cls:
            return value
        text = str(value)
        if _fits(text) is None:
            raise InvalidULIDError(
                f"Invalid ULID format: {text[:64]}", expected="26 characters of 0-9 and A-Z", found=text[:64]
            )
        return str.__new__(cls, text)

    @classmethod
    def from_str(cls, text: str) -> Self:
        """Return the ULID that `text` spells."""
        return cls(text)

    @classmethod
    def trusted(cls, text: str) -> Self:
        """Return `text` as a ULID without looking at it; for text that was checked when it was stored."""
        return str.__new__(cls, text)

    @property
    def datetime(self) -> datetime:
        """The moment of the making, UTC, to the millisecond."""
        milliseconds = 0
        for character in self[:10]:
            milliseconds = milliseconds << 5 | _VALUES[character]
        return datetime.fromtimestamp(milliseconds / 1000, UTC)

    def foreign(self) -> Any:
        """Return the same identifier as an object of the installed `ulid` package."""
        # Lazy: both ulid-py and python-ulid answer to this name, and nobody else here needs either.
        import ulid

        package: Any = ulid
        parse = getattr(package, "parse", None) or package.ULID.from_str
        return parse(str(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_validate, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": PATTERN, "examples": ["01M8GDCZBQ1FTFJZND52SRV3G5"]}


def _validate(value: Any) -> ULID:
    if type(value) is ULID:
        return value
    text = str(value)
    if _fits(text) is None:
        raise PydanticCustomError("ulid_format", "Invalid ULID format: 26 characters of 0-9 and A-Z expected")
    return ULID.trusted(text)


def _encode(number: int) -> str:
    pairs = [_PAIRS[number >> shift & 1023] for shift in range(110, -10, -10)]
    return _ALPHABET[number >> 125] + _ALPHABET[number >> 120 & 31] + "".join(pairs)

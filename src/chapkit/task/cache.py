"""Results that are kept: which calls count as equal, and for how long."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, cast

from pydantic_core import from_json, to_json

from chapkit.core.error_text import name_and_text
from chapkit.core.errors import ConfigurationError

KeyFunction: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Gets the parameters as JSON values, with defaults, and returns what decides: any value that JSON can carry."""
MAX_TAG_LENGTH = 100
_LONGEST = 10 * 366 * 86400.0
_UNITS: Mapping[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_parts = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])\s*").findall
_is_length = re.compile(r"\s*(?:\d+(?:\.\d+)?\s*[smhdw]\s*)+").fullmatch


@dataclass(frozen=True)
class Cache:
    """Lets a function that is called again with equal parameters answer with the artifact of the first call.

    Equal means: the same function, in the same version, with the same parameters, or what `key` makes of them.

    Args:
        ttl: How long a result counts: seconds, `"90s"`, `"15m"`, `"1h"`, `"1d12h"`, a timedelta; for ever if left out.
        key: Names of the parameters that decide, or a function of all of them that returns what decides, with
            whatever else the result depends on, such as today's date. It is called when a task is submitted, so
            it must be quick.
        tags: What the results can be dropped by, all together.

    Raises:
        ConfigurationError: One of them makes no sense (`cache-invalid`).
    """

    ttl: str | float | timedelta | None = None
    key: KeyFunction | Sequence[str] | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        _ = self.seconds
        # One text would be taken for its letters.
        key = (self.key,) if isinstance(self.key, str) else self.key
        if key is not None and not callable(key):
            if not _are_texts(key):
                raise _invalid("key", key, 'give names of parameters, key=["place"], or a function of them')
            key = tuple(key)
        if not _are_texts(self.tags):
            raise _invalid("tags", self.tags, 'give texts in a list: tags=["climate"]')
        if not all(0 < len(tag) <= MAX_TAG_LENGTH for tag in self.tags):
            raise _invalid("tags", self.tags, f"a tag is a text of 1 to {MAX_TAG_LENGTH} characters")
        object.__setattr__(self, "tags", tuple(self.tags))
        object.__setattr__(self, "key", key)

    @property
    def seconds(self) -> float | None:
        """How long a result counts; `None` for ever."""
        if self.ttl is None:
            return None
        seconds = _seconds(self.ttl)
        if seconds is None or not 0 < seconds <= _LONGEST:
            raise _invalid("ttl", self.ttl, "write seconds, '90s', '15m', '1h', '1d12h' or a timedelta, up to 10 years")
        return seconds

    @property
    def parameters(self) -> Sequence[str]:
        """Names of the parameters that decide, where only some of them do."""
        return () if self.key is None or callable(self.key) else self.key

    def key_of(self, function: str, version: str, parameters: Mapping[str, Any]) -> str:
        """Return what equal calls have in common.

        Args:
            function: Name of the function.
            version: Its code version.
            parameters: As JSON values, complete with defaults.

        Raises:
            ConfigurationError: The function in `key` failed (`cache-key-failed`).
        """
        try:
            # By way of JSON, so that what looks the same in it is the same.
            chosen = from_json(to_json([function, version, self._chosen(parameters)]))
        except Exception as error:
            raise ConfigurationError(
                f"The cache key of {function} could not be made: {name_and_text(error)}; "
                "its function gets the parameters as one mapping and returns what JSON can carry",
                code="cache-key-failed",
                function=function,
            ) from error
        text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _chosen(self, parameters: Mapping[str, Any]) -> Any:
        if self.key is None:
            return dict(parameters)
        if callable(self.key):
            return [self.key(parameters)]
        return {name: parameters.get(name) for name in self.key}


def _are_texts(items: object) -> bool:
    if isinstance(items, str) or not isinstance(items, Collection):
        return False
    return all(isinstance(item, str) for item in cast("Collection[object]", items))


def _seconds(ttl: object) -> float | None:
    if isinstance(ttl, timedelta):
        return ttl.total_seconds()
    # A truth value is a number for Python, but for nobody else.
    if isinstance(ttl, int | float) and not isinstance(ttl, bool):
        return float(ttl)
    if isinstance(ttl, str) and len(ttl) <= 40 and _is_length(ttl):
        return sum(float(number) * _UNITS[unit] for number, unit in _parts(ttl))
    return None


def _invalid(field: str, found: object, hint: str) -> ConfigurationError:
    return ConfigurationError(
        f"Cache({field}={found!r}) makes no sense; {hint}", code="cache-invalid", field=field, found=repr(found)[:100]
    )

"""When a failed job is tried again."""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeAlias, cast

from pydantic_core import from_json, to_json

from chapkit.core.errors import ConfigurationError
from chapkit.job.checks import is_number, is_whole

ErrorKind: TypeAlias = type[BaseException] | str
"""A class of errors, or its name with the module: `httpx.ReadTimeout`; built-in ones need no module."""
_MAX_ATTEMPTS = 1000
_LONGEST = 30 * 86400.0


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often and after what pauses a job is tried again when it has failed.

    The pause before attempt n + 1 is `initial * factor ** (n - 1)` seconds, at most `maximum`. The wait is a row: it
    holds no worker and survives a restart. A death of the whole service is no failure and does not count.

    Args:
        attempts: How often the job may fail before it is `failed`; 1 means that it is not tried again.
        initial: Seconds before the second attempt.
        factor: What each further pause is longer by.
        maximum: Seconds that a pause takes at most.
        jitter: Take up to half off each pause by chance, so that those who failed together do not come back together.
        on: Only these errors, and those derived of them, are worth another attempt; all, if empty.
        never: These are not, whatever `on` says.
    """

    attempts: int = 5
    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 300.0
    jitter: bool = True
    on: tuple[ErrorKind, ...] = ()
    never: tuple[ErrorKind, ...] = ()

    def __post_init__(self) -> None:
        checks = {
            "attempts": is_whole(self.attempts, 1, _MAX_ATTEMPTS),
            "initial": is_number(self.initial, 0, _LONGEST),
            "factor": is_number(self.factor, 1, _MAX_ATTEMPTS),
            "maximum": is_number(self.maximum, 0, _LONGEST),
            "on": _are_kinds(self.on),
            "never": _are_kinds(self.never),
        }
        for name, is_right in checks.items():
            if not is_right:
                raise ConfigurationError(
                    f"Retry({name}={getattr(self, name)!r}) makes no sense; attempts is a whole number from 1 to "
                    f"{_MAX_ATTEMPTS}, factor from 1 to {_MAX_ATTEMPTS}, initial and maximum from 0 to {_LONGEST:g} "
                    "seconds, on and never are tuples of classes of errors or names: on=(OSError, 'httpx.ReadTimeout')",
                    code="retry-policy-invalid",
                    field=name,
                )
        object.__setattr__(self, "on", tuple(_name(kind) for kind in self.on))
        object.__setattr__(self, "never", tuple(_name(kind) for kind in self.never))

    def allows(self, error: BaseException, failures: int) -> bool:
        """Tell whether a job that has failed so many times, this one included, is tried again."""
        names = {_name(kind) for kind in type(error).__mro__}
        wanted = not self.on or not names.isdisjoint(map(_name, self.on))
        return failures < self.attempts and wanted and names.isdisjoint(map(_name, self.never))

    def delay(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Return the pause in seconds after so many failures."""
        try:
            pause = min(self.maximum, self.initial * self.factor ** (failures - 1))
        except OverflowError:
            # The power is no number any more.
            pause = self.maximum if self.initial else 0.0
        return pause * (1 - chance() / 2) if self.jitter else pause

    def to_text(self) -> str:
        """Return the policy as JSON."""
        return to_json(asdict(self)).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the policy that `to_text` has written."""
        return cls.from_mapping(from_json(text))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the policy with these members."""
        kinds: dict[str, Any] = {name: tuple(values[name]) for name in ("on", "never") if name in values}
        members: dict[str, Any] = {**values, **kinds}
        return cls(**members)


def _are_kinds(value: object) -> bool:
    # A text would be taken for its letters.
    if not isinstance(value, Collection) or isinstance(value, str):
        return False
    kinds = cast("Collection[object]", value)
    return all(isinstance(kind, str) or (isinstance(kind, type) and issubclass(kind, BaseException)) for kind in kinds)


def _name(kind: ErrorKind) -> str:
    if isinstance(kind, str):
        return kind.removeprefix("builtins.")
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

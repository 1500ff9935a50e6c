"""How much a job may log: so many lines an attempt, so many bytes a line."""

import math
import threading
from collections.abc import Mapping
from typing import Any

from chapkit.job.claims import Report, storable

MAX_LINES = 1000
"""Lines that are kept of an attempt."""
RESERVED_LINES = 100
"""Those of them that are for warnings and errors, so that what is said often does not drown what matters."""
MAX_LINE = 8 * 1024
"""Bytes of a line, with its values."""
MAX_VALUE = 1024
MAX_NAME = 100
MAX_VALUES = 32

_URGENT = ("warning", "error", "critical")
_MAX_INTEGER = 2**63
_CUT = "…"


class LogBudget:
    """Admits the lines of one attempt, cut to size, and counts the rest; may be called from any thread."""

    def __init__(self, lines: int = MAX_LINES, reserved: int = RESERVED_LINES) -> None:
        self._lines = lines
        self._reserved = reserved
        self._lock = threading.Lock()
        self._admitted = 0
        self._left_out = 0

    def admit(self, message: str, level: str = "info", values: Mapping[str, Any] | None = None) -> Report | None:
        """Return the line as an event of the job; `None` once there are too many."""
        limit = self._lines if level in _URGENT else self._lines - self._reserved
        with self._lock:
            if self._admitted >= limit:
                self._left_out += 1
                return None
            self._admitted += 1
        text = _fitting(message, MAX_LINE)
        room = MAX_LINE - len(text.encode())
        return Report("log", {**_plain(values or {}, room), "level": _fitting(level, MAX_NAME), "message": text})

    def leftover(self) -> Report | None:
        """Return the last line of the attempt, if lines were left out: how many."""
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        if not left_out:
            return None
        message = f"{left_out} more lines were logged; no more than {self._lines} of an attempt are kept"
        return Report("log", {"level": "warning", "message": message, "left_out": left_out})


def _plain(values: Mapping[str, Any], room: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if len(plain) == MAX_VALUES:
            break
        key = _fitting(str(name), MAX_NAME)
        room -= len(key.encode())
        kept = _plain_value(value, min(room, MAX_VALUE))
        if isinstance(kept, str):
            room -= len(kept.encode())
        if room < 0:
            break
        plain[key] = kept
    return plain


def _plain_value(value: Any, limit: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -_MAX_INTEGER <= value < _MAX_INTEGER:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception:
        # Whatever a class of the user does in its text, the line is worth more.
        text = f"<{type(value).__name__}>"
    return _fitting(text, limit)


def _fitting(text: str, limit: int) -> str:
    """Return as much of the text as fits into so many bytes, storable."""
    text = storable(text[: max(limit, 0)]) + (_CUT if len(text) > max(limit, 0) else "")
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: max(limit - len(_CUT.encode()), 0)].decode(errors="ignore") + _CUT

"""Strike the own process at a named point."""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from chapkit.core.faults import EVENT

Say = Callable[..., None]


@dataclass(frozen=True)
class Strike:
    """What happens when a process comes to `point` for the n-th time."""

    point: str
    number: int
    signal: str
    """`SIGKILL`, `SIGTERM` or `SIGSTOP`."""


def arm(strike: Strike, say: Say) -> None:
    """Send the signal to this process when it gets there; it says so before."""
    visits = itertools.count(1)

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        # Hears of every file and every import too, so it first looks at what costs least.
        if event == EVENT and arguments[0] == strike.point and next(visits) == strike.number:
            say("struck", strike.point, strike.signal)
            os.kill(os.getpid(), signal.Signals[strike.signal])

    sys.addaudithook(listen)


def speaker(out: int) -> Say:
    """Return what writes one line to the parent, at once and from any thread."""

    def say(*words: object) -> None:
        os.write(out, (" ".join(str(word).replace("\n", " | ") for word in words) + "\n").encode())

    return say

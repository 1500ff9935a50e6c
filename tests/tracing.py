"""What keeps a measured run of the tests from hanging on Python 3.11.

Coverage notes lines by greenlet, and forgets one by a callback in Python when it is gone. The main greenlet of a thread
goes while the interpreter handles a pending call; if another thread ends at that moment, an interpreter that traces
turns in circles at the first instruction of the callback. So the main greenlets of threads stay until the end; greenlet
must not look for who keeps them then, which would run Python code as well, and takes long.
"""

import importlib
import sys
import threading
from types import FrameType
from typing import Any

import greenlet


def keep_main_greenlets() -> None:
    """Hold the main greenlet of every thread that begins from now on, if lines are traced."""
    kept: list[object] = []

    def note(frame: FrameType, event: str, arg: Any) -> None:
        sys.setprofile(None)
        kept.append(greenlet.getcurrent())

    if sys.gettrace() is not None:
        importlib.import_module("greenlet._greenlet").enable_optional_cleanup(False)
        threading.setprofile(note)

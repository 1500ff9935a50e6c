"""Notice within seconds that the way between service and PostgreSQL server is cut, though neither was told.

A cable that is pulled, a machine that loses power and a firewall that forgets a connection close nothing. By the
defaults of operating systems a process waits for hours for an answer that cannot come, and a server holds for hours
what it holds for a process that is gone.
"""

import os
import socket
from typing import Any

_IDLE, _INTERVAL, _COUNT = 5, 5, 3
"""Seconds of silence until the other side is asked whether it is there, seconds between questions, and how many."""
_UNANSWERED = 1000 * (_IDLE + _INTERVAL * _COUNT)
"""Milliseconds after which what was sent must have arrived."""
SERVER_SETTINGS = {
    "tcp_keepalives_idle": str(_IDLE),
    "tcp_keepalives_interval": str(_INTERVAL),
    "tcp_keepalives_count": str(_COUNT),
    "tcp_user_timeout": str(_UNANSWERED),
}
"""The same for the server's end of a connection."""
# Not every operating system has all of them.
_SOCKET_OPTIONS = {
    getattr(socket, name): value
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE),
        ("TCP_KEEPINTVL", _INTERVAL),
        ("TCP_KEEPCNT", _COUNT),
        ("TCP_USER_TIMEOUT", _UNANSWERED),
    )
    if hasattr(socket, name)
}


def keep_alive(connection: Any, _record: object) -> None:
    """Watch the way to the server from this side; for the event `connect` of a pool."""
    descriptor = _descriptor(connection.driver_connection)
    if descriptor is None:
        return
    with socket.socket(fileno=os.dup(descriptor)) as way:
        if way.family in (socket.AF_INET, socket.AF_INET6):
            _watch(way)


def _watch(way: socket.socket) -> None:
    way.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with socket.socket(way.family) as untouched:
        for option, value in _SOCKET_OPTIONS.items():
            # What the URL of the database sets was meant.
            if way.getsockopt(socket.IPPROTO_TCP, option) == untouched.getsockopt(socket.IPPROTO_TCP, option):
                way.setsockopt(socket.IPPROTO_TCP, option, value)


def _descriptor(driver: Any) -> int | None:
    if hasattr(driver, "fileno"):
        return int(driver.fileno())
    # asyncpg shows its socket nowhere else.
    transport = getattr(driver, "_transport", None)
    way = None if transport is None else transport.get_extra_info("socket")
    return None if way is None else int(way.fileno())

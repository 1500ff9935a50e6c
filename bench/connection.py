"""A small blocking HTTP/1.1 client on a raw socket: cheap, keep-alive, one request at a time."""

import json
import socket
from typing import Any, Self

from httptools import HttpResponseParser

HOST = "127.0.0.1"


def request_bytes(method: str, path: str, body: bytes = b"") -> bytes:
    """Return one request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\n"
    if method in ("POST", "PUT"):
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode("ascii") + b"\r\n" + body


class UnexpectedAnswerError(Exception):
    """An answer with another status than the benchmark needs."""


class Connection:
    """One connection to a server on this machine."""

    def __init__(self, port: int, timeout: float = 120) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._complete = False

    def on_body(self, part: bytes) -> None:
        """Keep a part of the answer (called by the parser)."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Note the end of the answer (called by the parser)."""
        self._complete = True

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return the status and the whole body."""
        self._parts, self._complete = [], False
        self._socket.sendall(request)
        while not self._complete:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionResetError("The server closed the connection")
            self._parser.feed_data(data)
        return self._parser.get_status_code(), b"".join(self._parts)

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """Send JSON, check the status and return the decoded answer."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        status, answer = self.exchange(request_bytes(method, path, content))
        if status != expect:
            raise UnexpectedAnswerError(f"{method} {path}: {status} instead of {expect}: {answer[:500]!r}")
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

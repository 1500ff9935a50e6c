"""Messages of any size between two processes, in pieces."""

import io
import pickle
import time
from multiprocessing.connection import Connection
from typing import Any

from chapkit.core.errors import ChapkitError

_PIECE = 1024 * 1024
_BUFFER = 64 * 1024
_TURN = 0.0005
_MORE, _LAST, _BROKEN = b"+", b".", b"!"


class ChannelClosedError(ChapkitError):
    """The other process is gone."""


class UnsendableError(ChapkitError):
    """The message cannot be pickled; nothing of it reached the other side."""


class UnreadableError(ChapkitError):
    """The message came, but its objects cannot be made here."""


class Channel:
    """Sends and receives pickled messages piece by piece, so that other threads get their turn."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, message: Any) -> None:
        """Send a message; one that cannot be pickled leaves no trace.

        Raises:
            ChannelClosedError: The other side is gone.
            UnsendableError: It cannot be pickled; the cause says why.
        """
        writer = _Writer(self._connection)
        try:
            pickle.Pickler(writer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
        except ChannelClosedError:
            raise
        except Exception as error:
            writer.break_off()
            raise UnsendableError(f"{type(error).__name__}: {error}") from error
        writer.finish()

    def has_message(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds (`None`: for ever) for a message, or for the end of the other side.

        Raises:
            ChannelClosedError: This side was closed.
        """
        try:
            return self._connection.poll(timeout)
        except OSError as error:
            raise ChannelClosedError from error

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            ChannelClosedError: The other side is gone.
            UnreadableError: An object in it cannot be made here; the cause says why.
        """
        while True:
            reader = _Reader(self._connection)
            try:
                message = pickle.Unpickler(io.BufferedReader(reader, _BUFFER)).load()
            except ChannelClosedError:
                raise
            except Exception as error:
                reader.finish()
                if reader.is_broken:
                    continue
                raise UnreadableError(f"{type(error).__name__}: {error}") from error
            reader.finish()
            return message

    def close(self) -> None:
        """Let the other side see the end."""
        self._connection.close()


class _Writer:
    """What a pickler writes to; the last piece is held back, so that small messages are one write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held = b""
        self._turns = _Turns()

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            if self._held:
                self._send(_MORE)
                self._turns.count(len(self._held))
            self._held = bytes(view[start : start + _PIECE])
        return len(view)

    def finish(self) -> None:
        self._send(_LAST)

    def break_off(self) -> None:
        self._held = b""
        self._send(_BROKEN)

    def _send(self, mark: bytes) -> None:
        try:
            self._connection.send_bytes(mark + self._held)
        except OSError as error:
            raise ChannelClosedError from error


class _Reader(io.RawIOBase):
    """One message as a file."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rest = memoryview(b"")
        self._turns = _Turns()
        self._is_over = False
        self.is_broken = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and not self._is_over:
            self._next()
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def finish(self) -> None:
        while not self._is_over:
            self._next()

    def _next(self) -> None:
        try:
            piece = self._connection.recv_bytes()
        except (OSError, EOFError) as error:
            raise ChannelClosedError from error
        mark, self._rest = piece[:1], memoryview(piece)[1:]
        self._is_over = mark != _MORE
        self.is_broken = mark == _BROKEN
        self._turns.count(len(piece))


class _Turns:
    """Lets other threads have the interpreter now and then.

    A thread that reads or writes lets go of it often, but takes it back before a waiting one has woken up.
    """

    def __init__(self) -> None:
        self._bytes = 0

    def count(self, size: int) -> None:
        self._bytes += size
        if self._bytes >= _PIECE:
            self._bytes = 0
            time.sleep(_TURN)

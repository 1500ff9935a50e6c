"""The beginning and the end of a stream of any length."""


class Excerpt:
    """Keeps at most `limit` bytes of what it is given: the first and the last ones, and how many there were between."""

    def __init__(self, limit: int) -> None:
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    @property
    def is_cut(self) -> bool:
        """Tell whether bytes were left out."""
        return self._left_out > 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        room = self._head_limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        surplus = len(self._tail) - self._tail_limit
        if surplus > 0:
            del self._tail[:surplus]
            self._left_out += surplus

    def text(self) -> str:
        """Return what was kept as text, with a line in the place of what was not."""
        head, tail = bytes(self._head), bytes(self._tail)
        if not self.is_cut:
            return (head + tail).decode(errors="replace")
        # A character that was cut in two is no error of the program.
        return f"{_whole(head)}\n[... {self._left_out} bytes left out ...]\n{_whole(tail[_continuations(tail) :])}"


def _whole(data: bytes) -> str:
    for cut in range(min(4, len(data))):
        try:
            return data[: len(data) - cut].decode()
        except UnicodeDecodeError:
            continue
    return data.decode(errors="replace")


def _continuations(data: bytes) -> int:
    """Return how many bytes at the beginning belong to a character that began before."""
    count = 0
    while count < min(3, len(data)) and data[count] & 0xC0 == 0x80:
        count += 1
    return count

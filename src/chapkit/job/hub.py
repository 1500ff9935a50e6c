"""Tell those who wait within this process that a job has changed."""

import asyncio
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from chapkit.core.ids import ULID


class JobHub:
    """Wakes the watchers of a job; called after the commit."""

    def __init__(self) -> None:
        self._watchers: dict[ULID, set[Watcher]] = {}
        self.tell_others: Callable[[ULID], None] | None = None
        """Tells the other processes, where that is needed."""
        self.is_closing = False
        """True once the service is about to stop: nobody should wait any longer."""

    def changed(self, job_id: ULID) -> None:
        """Wake everybody who watches the job, in whatever process."""
        self.wake(job_id)
        if self.tell_others is not None:
            self.tell_others(job_id)

    def changed_all(self, job_ids: Iterable[ULID]) -> None:
        """Wake everybody who watches one of the jobs."""
        for job_id in job_ids:
            self.changed(job_id)

    def wake(self, job_id: ULID) -> None:
        """Wake those of this process who watch the job."""
        for watcher in self._watchers.get(job_id, ()):
            watcher.wake()

    def wake_all(self) -> None:
        """Wake every watcher of this process."""
        for job_id in list(self._watchers):
            self.wake(job_id)

    def open(self) -> None:
        """Let watchers wait."""
        self.is_closing = False

    def close(self) -> None:
        """Let nobody wait any longer."""
        self.is_closing = True
        self.wake_all()

    @contextmanager
    def watching(self, job_id: ULID) -> Generator["Watcher"]:
        """Watch a job; no change after the entry is missed."""
        watcher = Watcher()
        watchers = self._watchers.setdefault(job_id, set())
        watchers.add(watcher)
        try:
            yield watcher
        finally:
            watchers.discard(watcher)
            if not watchers:
                self._watchers.pop(job_id, None)

    @property
    def watched(self) -> int:
        """Number of jobs that somebody watches."""
        return len(self._watchers)


class Watcher:
    """Waits for changes of one job."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Let `wait` return."""
        self._event.set()

    async def wait(self, timeout: float) -> bool:
        """Return when something has changed since the last call, or False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

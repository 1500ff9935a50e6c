"""How a worker hears of jobs."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

from chapkit.core.ids import ULID
from chapkit.job.notices import News, NoNotices, Notices

URGE_AFTER = 0.5
"""Seconds that a job which is to stop may go on while the wish is being written down."""


class LocalDispatcher:
    """A mailbox between those who submit and the engine of the same process; the rows hold the truth."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._canceled: set[ULID] = set()
        self._must_look = True
        self.notices: Notices = NoNotices()

    def open(self) -> None:
        """Start anew, on the event loop that runs now."""
        self._news = asyncio.Event()
        self.look()

    def submitted(self, job_id: ULID) -> None:
        """Tell that a job waits."""
        self.freed()

    def freed(self) -> None:
        """Tell that a job may be taken that could not be before, here or in another process."""
        self.wake()
        self.notices.publish(News(waiting=True))

    def cancel_requested(self, job_id: ULID) -> None:
        """Tell that a running job has to stop."""
        self._canceled.add(job_id)
        self.wake()
        self.notices.publish(News(canceled=frozenset({job_id})))

    @contextmanager
    def urging(self, job_id: ULID) -> Generator[Callable[[], bool]]:
        """Let the job stop in this process before that is written down, if the block takes long.

        It may be the job itself that holds the lock which the block waits for. What is given tells whether it was so.
        """
        clock = asyncio.get_running_loop()
        timer = clock.call_later(URGE_AFTER, self.cancel_requested, job_id)
        try:
            yield lambda: clock.time() >= timer.when()
        finally:
            timer.cancel()

    def hear(self, news: News) -> None:
        """Take in what another process has done."""
        self._canceled |= news.canceled
        if news.anything:
            self.look()
        elif news.waiting or news.canceled:
            self.wake()

    def wake(self) -> None:
        """Let the engine take jobs, if there are any."""
        self._news.set()

    def look(self) -> None:
        """Let the engine look for everything that other processes may have written."""
        self._must_look = True
        self._news.set()

    def take_canceled(self) -> set[ULID]:
        """Return the jobs that have to stop."""
        canceled, self._canceled = self._canceled, set()
        return canceled

    def take_look(self) -> bool:
        """Tell whether something unknown has happened since the last call."""
        must_look, self._must_look = self._must_look, False
        return must_look

    async def wait(self, timeout: float) -> None:
        """Return when there is news, or it is time to look whether there is any: after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            self._must_look = True
        self._news.clear()

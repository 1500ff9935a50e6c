"""How a worker hears of jobs."""

import asyncio

from chapkit.core.ids import ULID


class LocalDispatcher:
    """A mailbox between those who submit and the engine of the same process; the rows hold the truth."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._canceled: set[ULID] = set()

    def open(self) -> None:
        """Start anew, on the event loop that runs now."""
        self._news = asyncio.Event()
        self._news.set()

    def submitted(self, job_id: ULID) -> None:
        """Tell that a job waits."""
        self._news.set()

    def cancel_requested(self, job_id: ULID) -> None:
        """Tell that a running job has to stop."""
        self._canceled.add(job_id)
        self._news.set()

    def wake(self) -> None:
        """Let the engine look whether there is something to do."""
        self._news.set()

    def take_canceled(self) -> set[ULID]:
        """Return the jobs that have to stop."""
        canceled, self._canceled = self._canceled, set()
        return canceled

    async def wait(self, timeout: float) -> bool:
        """Return when there is news, or False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

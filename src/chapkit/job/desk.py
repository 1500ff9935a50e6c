"""Where the ends of attempts are written down: those that come together in one transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from chapkit.core.database import Database
from chapkit.core.errors import DatabaseBusyError, UnavailableError
from chapkit.core.faults import reach
from chapkit.job.claims import Fence, Report
from chapkit.job.endings import Ending
from chapkit.job.errors import StaleAttemptError
from chapkit.job.ledger import JobLedger
from chapkit.job.runtime import JobRuntime


@dataclass(frozen=True)
class Entry:
    """The end of one attempt, and what it told before."""

    fence: Fence
    ending: Ending
    reports: Sequence[Report] = ()
    result: bytes | None = None

    async def write(self, ledger: JobLedger) -> None:
        """Write it under its fence.

        Raises:
            StaleAttemptError: The job is no longer this attempt's.
        """
        if self.reports:
            await ledger.report(self.fence, self.reports)
        await ledger.end(self.fence, self.ending, self.result)


class JobDesk:
    """Takes entries; while one transaction is written, those that come gather for the next."""

    def __init__(self, runtime: JobRuntime) -> None:
        self._runtime = runtime
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._apart: set[Fence] = set()

    async def write(self, entry: Entry) -> None:
        """Return once the entry is committed.

        Raises:
            StaleAttemptError: The job is no longer this attempt's, or was asked to stop; its end was not written.
        """
        if entry.fence in self._apart:
            await self._write_apart(entry)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all(), name="chapkit:job-desk")
        await future

    async def _write_all(self) -> None:
        while self._waiting:
            # In one order, in which others lock these rows too.
            batch, self._waiting = sorted(self._waiting, key=lambda pair: pair[0].fence.job_id), []
            entries = [entry for entry, _ in batch]
            try:
                answers = await self._write_together(entries)
            except BaseException as error:
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                _answer(future, answer)

    async def _write_together(self, entries: Sequence[Entry]) -> Sequence[BaseException | None]:
        try:
            return await self._write(entries)
        except (UnavailableError, ConnectionError):
            raise
        except Exception:
            if len(entries) == 1:
                raise
        # One of them cannot be written; the others must not suffer from it.
        return [await self._write_alone(entry) for entry in entries]

    async def _write_apart(self, entry: Entry) -> None:
        """Write what had to wait too long; the next ones do not wait with it."""
        self._apart.discard(entry.fence)
        [answer] = await self._write([entry])
        if answer is not None:
            raise answer

    async def _write_alone(self, entry: Entry) -> BaseException | None:
        try:
            return (await self._write([entry]))[0]
        except Exception as error:
            return error

    async def _write(self, entries: Sequence[Entry]) -> Sequence[BaseException | None]:
        try:
            answers = await self._commit(entries)
        except DatabaseBusyError:
            # Perhaps somebody holds the row of one of them, for who knows how long.
            self._apart |= {entry.fence for entry in entries}
            raise
        if any(not entry.ending.is_final for entry in entries):
            # Whoever has a free slot may make the next attempt.
            self._runtime.dispatcher.freed()
        return answers

    async def _commit(self, entries: Sequence[Entry]) -> Sequence[BaseException | None]:
        async with self._runtime.services.get(Database).writing() as session:
            ledger = JobLedger(session, self._runtime.clock.now())
            async with ledger.together():
                answers = [await _try(entry, ledger) for entry in entries]
            reach("job.finish.before-commit")
        reach("job.finish.after-commit")
        self._runtime.hub.changed_all(entry.fence.job_id for entry in entries)
        return answers


async def _try(entry: Entry, ledger: JobLedger) -> BaseException | None:
    try:
        await entry.write(ledger)
    except StaleAttemptError as error:
        return error
    return None


def _answer(future: asyncio.Future[None], answer: BaseException | None) -> None:
    if future.done():
        return
    if answer is None:
        future.set_result(None)
    else:
        future.set_exception(answer)

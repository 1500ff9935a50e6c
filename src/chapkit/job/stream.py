"""The events of a job as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from chapkit.core.ids import ULID
from chapkit.core.services import Scopes
from chapkit.job.errors import JobNotFoundError
from chapkit.job.hub import JobHub
from chapkit.job.repository import JobRepository
from chapkit.job.rows import Row, to_wire
from chapkit.job.schemas import JobStatus
from chapkit.web.sse import HEARTBEAT, format_sse_event

DELETED = format_sse_event('{"status": "deleted"}')
_BATCH = 200


@dataclass(frozen=True)
class JobStream:
    """Sends a job's record at each change; opens units of work of its own, none while it waits."""

    scopes: Scopes
    hub: JobHub
    look_every: float = 10.0
    """Seconds between two looks for changes that other processes made."""
    heartbeat_every: float = 15.0

    async def start(self, job_id: ULID, last_seen: int | None) -> tuple[Row, int] | None:
        """Return the job and the number of its last event; `None` if the client has seen the end already.

        Raises:
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        async with self.scopes.read() as scope:
            found = await JobRepository(scope.session).find_with_last(job_id)
        if found is None:
            raise JobNotFoundError(job_id)
        row, last = found
        if last_seen is not None and last_seen >= last and JobStatus(row["status"]).is_final:
            return None
        return found

    async def messages(self, job_id: ULID, last_seen: int | None = None) -> AsyncGenerator[bytes]:
        """Send the record as it is, or what followed the event `last_seen`; end with the job.

        An end that is past, as the job was let run again, is told like everything else.
        """
        loop = asyncio.get_running_loop()
        with self.hub.watching(job_id) as watcher:
            news, seen, is_over = await self._first(job_id, last_seen)
            for message in news:
                yield message
            if is_over:
                return
            sent_at = loop.time()
            while True:
                news, seen, is_over = await self._news(job_id, seen)
                for message in news:
                    yield message
                    sent_at = loop.time()
                if is_over or self.hub.is_closing:
                    # The client comes back, to this process or another one, with the last event it has seen.
                    return
                left = self.heartbeat_every - (loop.time() - sent_at)
                if len(news) == _BATCH or await watcher.wait(max(0.0, min(self.look_every, left))):
                    continue
                if loop.time() - sent_at >= self.heartbeat_every:
                    yield HEARTBEAT
                    sent_at = loop.time()

    async def _first(self, job_id: ULID, last_seen: int | None) -> tuple[list[bytes], int, bool]:
        async with self.scopes.read() as scope:
            found = await JobRepository(scope.session).find_with_last(job_id)
        if found is None:
            return [DELETED], 0, True
        row, last = found
        if last_seen is not None:
            # A number that no event has yet would never be reached.
            return [], min(last_seen, last), False
        return [_record(to_wire(row), last)], last, JobStatus(row["status"]).is_final

    async def _news(self, job_id: ULID, seen: int) -> tuple[list[bytes], int, bool]:
        """Return the events behind `seen`, the last one of them, and whether none can come any more."""
        async with self.scopes.read() as scope:
            rows = await JobRepository(scope.session).list_news(job_id, seen, _BATCH)
        if not rows:
            return [DELETED], seen, True
        news = [_message(row) for row in rows if row["number"] is not None]
        # Job and events are read at one moment: behind these there is nothing.
        is_over = len(news) < _BATCH and JobStatus(rows[0]["status"]).is_final
        return news, max((row["number"] or seen) for row in rows), is_over


def _message(row: Row) -> bytes:
    data: dict[str, Any] = from_json(row["data"])
    if row["event_kind"] == "log":
        return format_sse_event(to_json(data).decode(), id=str(row["number"]), event="log")
    # The record as it was when the event happened.
    record = to_wire(row)
    told = {"message": data["message"]} if "message" in data else {}
    return _record({**{name: data.get(name, value) for name, value in record.items()}, **told}, row["number"])


def _record(record: dict[str, Any], number: int) -> bytes:
    return format_sse_event(to_json(record).decode(), id=str(number))

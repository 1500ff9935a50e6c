"""Jobs, seen from a client."""

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from chapkit.client.errors import ClientError
from chapkit.client.job_calls import PREFIX, JobCalls, Records
from chapkit.client.polling import AnswerT, Following, Polling, Waiting, ended_well
from chapkit.client.resource import PAGE_SIZE
from chapkit.client.transport import AsyncHttpTransport, HttpTransport
from chapkit.core.schemas import PaginatedResponse
from chapkit.job.schemas import JobEventRecord, JobRecord, JobStats, JobStatus


class Jobs:
    """The jobs of a service."""

    def __init__(self, transport: HttpTransport, prefix: str = PREFIX) -> None:
        self.transport = transport
        self._calls = JobCalls(prefix)

    def get(self, id: str) -> JobRecord:
        """Return a job as it is now.

        Raises:
            NotFound: There is none with this identifier.
        """
        return self.transport.send(self._calls.get(id))

    def page(
        self, page: int = 1, size: int = PAGE_SIZE, *, status: JobStatus | str | None = None, kind: str | None = None
    ) -> PaginatedResponse[JobRecord]:
        """Return one page of jobs, the newest first, counted from 1, with the total."""
        return self.transport.send(self._calls.page(page, size, status, kind))

    def wait(self, id: str, timeout: float | None = None, *, raise_on_failure: bool = True) -> JobRecord:
        """Return a job when it has ended; a service that is started anew meanwhile is waited for too.

        Args:
            timeout: Seconds to wait; `None` for as long as it takes.
            raise_on_failure: Whether a job that did not complete is an error; if not, look at its `status`.

        Raises:
            JobFailed: It failed; the error has its `record`, `error_code` and `error`.
            JobCanceled: It was canceled.
            JobTimedOut: It has not ended in time, and goes on.
            NotFound: There is no such job, or no longer.
        """
        waiting = Waiting(self._calls, id, timeout)
        while True:
            record = self._ask(waiting)
            waiting.take(record)
            if waiting.is_over:
                return ended_well(record) if raise_on_failure else record

    def cancel(self, id: str) -> JobRecord:
        """Cancel a job that waits; ask one that runs to stop, and `wait` tells when it has.

        Raises:
            Conflict: It has ended already (`job-finished`).
        """
        return self.transport.send(self._calls.cancel(id))

    def retry(self, id: str, payload: Mapping[str, Any] | None = None, *, key: str | None = None) -> JobRecord:
        """Let a job that failed or was canceled run again, with another payload if one is given.

        Sent again with the same key, it returns the job as it is by then.

        Raises:
            Conflict: It has not ended, or has completed.
        """
        return self.transport.send(self._calls.retry(id, payload, key))

    def delete(self, id: str) -> None:
        """Stop a job and remove it with all that is known of it."""
        self.transport.send(self._calls.delete(id))

    def events(self, id: str, after: int = 0, *, follow: bool = False) -> Generator[JobEventRecord]:
        """Yield what happened behind the event with the number `after`; with `follow`, until the job has ended.

        No event is left out or comes twice, also when the connection breaks or the service is started anew.

        Raises:
            NotFound: There is no such job, or no longer.
        """
        following = Following(self._calls, id, after, follow)
        while not following.is_over:
            yield from following.take(self._ask(following))

    def stats(self) -> JobStats:
        """Return how many jobs there are in each status."""
        return self.transport.send(self._calls.stats())

    def list(
        self, *, status: JobStatus | str | None = None, kind: str | None = None, limit: int | None = None
    ) -> Records:
        """Return jobs, the newest first."""
        return self.transport.send(self._calls.list(status, kind, limit))

    def _ask(self, polling: Polling[AnswerT]) -> AnswerT:
        while True:
            if polling.pause:
                self.transport.retries.sleep(polling.pause)
            try:
                return self.transport.send(polling.next_call())
            except ClientError as error:
                polling.bear(error)


class AsyncJobs:
    """The jobs of a service, to be awaited."""

    def __init__(self, transport: AsyncHttpTransport, prefix: str = PREFIX) -> None:
        self.transport = transport
        self._calls = JobCalls(prefix)

    async def get(self, id: str) -> JobRecord:
        """Return a job as it is now.

        Raises:
            NotFound: There is none with this identifier.
        """
        return await self.transport.send(self._calls.get(id))

    async def page(
        self, page: int = 1, size: int = PAGE_SIZE, *, status: JobStatus | str | None = None, kind: str | None = None
    ) -> PaginatedResponse[JobRecord]:
        """Return one page of jobs, the newest first, counted from 1, with the total."""
        return await self.transport.send(self._calls.page(page, size, status, kind))

    async def wait(self, id: str, timeout: float | None = None, *, raise_on_failure: bool = True) -> JobRecord:
        """Return a job when it has ended; a service that is started anew meanwhile is waited for too.

        Args:
            timeout: Seconds to wait; `None` for as long as it takes.
            raise_on_failure: Whether a job that did not complete is an error; if not, look at its `status`.

        Raises:
            JobFailed: It failed; the error has its `record`, `error_code` and `error`.
            JobCanceled: It was canceled.
            JobTimedOut: It has not ended in time, and goes on.
            NotFound: There is no such job, or no longer.
        """
        waiting = Waiting(self._calls, id, timeout)
        while True:
            record = await self._ask(waiting)
            waiting.take(record)
            if waiting.is_over:
                return ended_well(record) if raise_on_failure else record

    async def cancel(self, id: str) -> JobRecord:
        """Cancel a job that waits; ask one that runs to stop, and `wait` tells when it has.

        Raises:
            Conflict: It has ended already (`job-finished`).
        """
        return await self.transport.send(self._calls.cancel(id))

    async def retry(self, id: str, payload: Mapping[str, Any] | None = None, *, key: str | None = None) -> JobRecord:
        """Let a job that failed or was canceled run again, with another payload if one is given.

        Sent again with the same key, it returns the job as it is by then.

        Raises:
            Conflict: It has not ended, or has completed.
        """
        return await self.transport.send(self._calls.retry(id, payload, key))

    async def delete(self, id: str) -> None:
        """Stop a job and remove it with all that is known of it."""
        await self.transport.send(self._calls.delete(id))

    async def events(self, id: str, after: int = 0, *, follow: bool = False) -> AsyncGenerator[JobEventRecord]:
        """Yield what happened behind the event with the number `after`; with `follow`, until the job has ended.

        No event is left out or comes twice, also when the connection breaks or the service is started anew.

        Raises:
            NotFound: There is no such job, or no longer.
        """
        following = Following(self._calls, id, after, follow)
        while not following.is_over:
            for event in following.take(await self._ask(following)):
                yield event

    async def stats(self) -> JobStats:
        """Return how many jobs there are in each status."""
        return await self.transport.send(self._calls.stats())

    async def list(
        self, *, status: JobStatus | str | None = None, kind: str | None = None, limit: int | None = None
    ) -> Records:
        """Return jobs, the newest first."""
        return await self.transport.send(self._calls.list(status, kind, limit))

    async def _ask(self, polling: Polling[AnswerT]) -> AnswerT:
        while True:
            if polling.pause:
                await self.transport.retries.async_sleep(polling.pause)
            try:
                return await self.transport.send(polling.next_call())
            except ClientError as error:
                polling.bear(error)

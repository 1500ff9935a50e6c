"""Sends calls over HTTP, blocking or not."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import httpx

from chapkit.client.calls import Call
from chapkit.client.errors import error_of, failure_of
from chapkit.client.retries import Attempts, Outcome, Retries

ResultT = TypeVar("ResultT")


class HttpTransport:
    """Sends calls and waits for the answer."""

    def __init__(self, http: httpx.Client, retries: Retries) -> None:
        self.http = http
        self.retries = retries

    def send(self, call: Call[ResultT]) -> ResultT:
        """Return what the service answers to a call."""
        request = call.request(self.http)
        return _settle(call, self._exchange(request, Attempts(self.retries, request, call.accepted)))

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the answer whatever its status; `options` are those of `httpx.Client.build_request`."""
        request = self.http.build_request(method, path, **options)
        return _answered(self._exchange(request, Attempts(self.retries, request)))

    @contextmanager
    def stream(self, call: Call[Any]) -> Generator[httpx.Response]:
        """Yield the answer as soon as its headers are there; the content is read while it comes."""
        try:
            response = self.http.send(call.request(self.http), stream=True)
            try:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                yield response
            finally:
                response.close()
        except httpx.RequestError as error:
            raise failure_of(error) from error

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def _exchange(self, request: httpx.Request, attempts: Attempts) -> Outcome:
        while True:
            outcome: Outcome
            try:
                outcome = self.http.send(request)
            except httpx.RequestError as error:
                outcome = error
            pause = attempts.pause_after(outcome)
            if pause is None:
                return outcome
            self.retries.sleep(pause)


class AsyncHttpTransport:
    """Sends calls on the running event loop."""

    def __init__(self, http: httpx.AsyncClient, retries: Retries) -> None:
        self.http = http
        self.retries = retries

    async def send(self, call: Call[ResultT]) -> ResultT:
        """Return what the service answers to a call."""
        request = call.request(self.http)
        return _settle(call, await self._exchange(request, Attempts(self.retries, request, call.accepted)))

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the answer whatever its status; `options` are those of `httpx.AsyncClient.build_request`."""
        request = self.http.build_request(method, path, **options)
        return _answered(await self._exchange(request, Attempts(self.retries, request)))

    @asynccontextmanager
    async def stream(self, call: Call[Any]) -> AsyncGenerator[httpx.Response]:
        """Yield the answer as soon as its headers are there; the content is read while it comes."""
        try:
            response = await self.http.send(call.request(self.http), stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                    raise error_of(response)
                yield response
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            raise failure_of(error) from error

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def _exchange(self, request: httpx.Request, attempts: Attempts) -> Outcome:
        while True:
            outcome: Outcome
            try:
                outcome = await self.http.send(request)
            except httpx.RequestError as error:
                outcome = error
            pause = attempts.pause_after(outcome)
            if pause is None:
                return outcome
            await self.retries.async_sleep(pause)


def _answered(outcome: Outcome) -> httpx.Response:
    if isinstance(outcome, httpx.RequestError):
        raise failure_of(outcome) from outcome
    return outcome


def _settle(call: Call[ResultT], outcome: Outcome) -> ResultT:
    response = _answered(outcome)
    if not response.is_success and response.status_code not in call.accepted:
        raise error_of(response)
    return call.read(response)

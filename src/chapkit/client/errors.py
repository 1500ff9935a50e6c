"""What can go wrong between a client and a service.

ClientError
├── ConnectionFailed        nobody answers
├── TimedOut                no answer in time
│   └── JobTimedOut         the job has not ended in time
├── JobFailed               the job that was waited for failed
├── JobCanceled             the job that was waited for was canceled
├── UnexpectedAnswer        the answer is not what such a service sends
└── ApiError                the service said no
    ├── Invalid             400, 422
    ├── Unauthorized        401
    ├── Forbidden           403
    ├── NotFound            404
    ├── Conflict            409
    ├── PreconditionFailed  412
    ├── TooLarge            413
    ├── TooManyRequests     429
    └── ServerError         5xx
        └── Unavailable     503
"""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx

from chapkit.core.errors import ChapkitError
from chapkit.job.schemas import JobRecord

_EXCERPT = 200
_MEMBERS = frozenset({"type", "title", "status", "code", "detail", "instance", "trace_id"})


class ClientError(ChapkitError):
    """A request to a service did not succeed."""


class NoAnswer(ClientError):
    """The service did not answer."""

    @property
    def url(self) -> str:
        """What was asked for."""
        return str(self.extensions.get("url", ""))


class ConnectionFailed(NoAnswer):
    """The service cannot be reached."""


class TimedOut(NoAnswer):
    """The service did not answer in time."""


class JobTimedOut(TimedOut):
    """The job has not ended in time; it goes on."""

    def __init__(self, record: JobRecord, timeout: float) -> None:
        self.record = record
        done = "" if record.progress is None else f", {record.progress:.0%} done"
        detail = f"Job {record.id} is still {record.status.value} after {timeout:g} s{done}; it goes on, wait again"
        super().__init__(detail, code="job-not-ended")


class JobFailed(ClientError):
    """The job failed."""

    def __init__(self, record: JobRecord) -> None:
        self.record = record
        self.error = record.error
        self.error_code = record.error_code
        super().__init__(f"Job {record.id} failed: {record.error or record.error_code}", code="job-failed")


class JobCanceled(ClientError):
    """The job was canceled."""

    def __init__(self, record: JobRecord) -> None:
        self.record = record
        super().__init__(f"Job {record.id} was canceled", code="job-canceled")


class UnexpectedAnswer(ClientError):
    """The answer is not one that such a service gives."""


class ApiError(ClientError):
    """The service refused the request."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        status: int = 500,
        problem: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.problem = dict(problem or {})
        self.title = str(self.problem.get("title") or "")
        self.trace_id: str | None = self.problem.get("trace_id")
        self.retry_after = retry_after
        super().__init__(
            detail,
            code=str(self.problem.get("code") or f"http-{status}"),
            instance=self.problem.get("instance"),
            **{name: value for name, value in self.problem.items() if name not in _MEMBERS},
        )

    def __str__(self) -> str:
        trace = f", trace {self.trace_id}" if self.trace_id else ""
        return f"{self.detail} ({self.code}, {self.status}{trace})"


class Invalid(ApiError):
    """What was sent breaks a rule of the service; `problem["errors"]` lists them."""


class Unauthorized(ApiError):
    """The service does not know who asks."""


class Forbidden(ApiError):
    """The caller may not do this."""


class NotFound(ApiError):
    """There is no such thing."""


class Conflict(ApiError):
    """The request collides with what the service holds."""


class PreconditionFailed(ApiError):
    """Somebody else changed it since it was read."""


class TooLarge(ApiError):
    """The request is larger than the service accepts."""


class TooManyRequests(ApiError):
    """The caller asks too often; `retry_after` says when to come back."""


class ServerError(ApiError):
    """The service failed."""


class Unavailable(ServerError):
    """The service cannot answer now; `retry_after` says when it may."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: TooLarge,
    422: Invalid,
    429: TooManyRequests,
    503: Unavailable,
}


def error_of(response: httpx.Response) -> ApiError:
    """Return the error that an answer tells of."""
    status = response.status_code
    problem = _problem_of(response)
    detail = problem.get("detail") or problem.get("title") or _describe(response)
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    return kind(str(detail), status=status, problem=problem, retry_after=retry_after(response))


def failure_of(error: httpx.RequestError) -> ClientError:
    """Return the error for a request that got no answer."""
    request = error.request
    url = _shown(request.url)
    if isinstance(error, httpx.TimeoutException):
        seconds = request.extensions.get("timeout", {}).get("read")
        limit = "in time" if seconds is None else f"within {seconds:g} s"
        detail = f"{request.method} {url} was not answered {limit}; a longer limit can be given as timeout="
        return TimedOut(detail, code="timed-out", url=url)
    if isinstance(error, httpx.DecodingError | httpx.TooManyRedirects):
        return UnexpectedAnswer(f"{request.method} {url} gave an unreadable answer: {error}", code="answer-unexpected")
    reason = str(error) or type(error).__name__
    detail = f"{request.method} {url} got no answer: {reason}. Is the service running, and is the URL right?"
    return ConnectionFailed(detail, code="connection-failed", url=url)


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that a service asks to wait, written as a number or as a date."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _problem_of(response: httpx.Response) -> dict[str, Any]:
    if "json" not in response.headers.get("Content-Type", ""):
        return {}
    try:
        content: object = response.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _describe(response: httpx.Response) -> str:
    asked = f"{response.request.method} {_shown(response.request.url)}"
    if response.is_redirect:
        return f"{asked} leads on to {response.headers['Location']}; give the client that address"
    text = " ".join(response.text.split())[:_EXCERPT]
    return f"{asked} was answered with {response.status_code} {response.reason_phrase}" + (f": {text}" if text else "")


def _shown(url: httpx.URL) -> str:
    # A password in the URL is nobody's business but the service's.
    return str(url.copy_with(userinfo=b""))

"""The calls that the jobs of a service understand."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from chapkit.client.calls import Call, encode, keyed, parameters, reader, segment
from chapkit.client.crud_calls import GONE, deleted
from chapkit.core.schemas import PaginatedResponse
from chapkit.job.schemas import JobEventRecord, JobRecord, JobStats, JobStatus

PREFIX = "/api/v1/jobs"
DELETE_WAITS = 10.0
"""Seconds that a service lets the deletion of a running job wait until it has stopped."""
Records: TypeAlias = list[JobRecord]
Events: TypeAlias = list[JobEventRecord]


class JobCalls:
    """Calls to the jobs at `prefix`."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self.prefix = prefix
        self.one = reader(TypeAdapter(JobRecord))
        self.many = reader(TypeAdapter(Records))
        self.one_page = reader(TypeAdapter(PaginatedResponse[JobRecord]))
        self.some_events = reader(TypeAdapter(Events))

    def path(self, id: str, operation: str = "") -> str:
        """Return the path of one job, or of an operation on it."""
        return f"{self.prefix}/{segment(id)}" + (f"/${operation}" if operation else "")

    def list(self, status: JobStatus | str | None, kind: str | None, limit: int | None) -> Call[Records]:
        """Read jobs as a bare list."""
        return Call("GET", self.prefix, self.many, parameters([*_filters(status, kind), ("limit", limit)]))

    def page(
        self, page: int, size: int, status: JobStatus | str | None, kind: str | None
    ) -> Call[PaginatedResponse[JobRecord]]:
        """Read one page."""
        params = parameters([*_filters(status, kind), ("page", page), ("size", size)])
        return Call("GET", self.prefix, self.one_page, params)

    def get(self, id: str, wait: float = 0.0) -> Call[JobRecord]:
        """Read one job, once it has ended or after `wait` seconds."""
        return Call("GET", self.path(id), self.one, parameters([("wait", wait or None)]), waits=wait)

    def cancel(self, id: str) -> Call[JobRecord]:
        """Stop a job."""
        return Call("POST", self.path(id, "cancel"), self.one)

    def retry(self, id: str, payload: Mapping[str, Any] | None, key: str | None) -> Call[JobRecord]:
        """Let a job run again."""
        content = None if payload is None else encode({"payload": payload})
        return Call("POST", self.path(id, "retry"), self.one, content=content, headers=keyed(key))

    def delete(self, id: str) -> Call[None]:
        """Stop and remove a job."""
        return Call("DELETE", self.path(id), deleted, accepted=GONE, waits=DELETE_WAITS)

    def events(self, id: str, after: int, wait: float = 0.0) -> Call[Events]:
        """Read what happened behind the event `after`, once there is something or after `wait` seconds."""
        params = parameters([("after", after), ("wait", wait or None)])
        return Call("GET", self.path(id, "events"), self.some_events, params, waits=wait)

    def stats(self) -> Call[JobStats]:
        """Read how many jobs there are."""
        return Call("GET", f"{self.prefix}/$stats", reader(TypeAdapter(JobStats)))


def _filters(status: JobStatus | str | None, kind: str | None) -> tuple[tuple[str, Any], ...]:
    # The value of a status, since its name would be spelt otherwise on another Python.
    return (("status_filter", None if status is None else JobStatus(status).value), ("kind", kind))

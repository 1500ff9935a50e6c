"""The calls that the schedules of a service understand."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypedDict

from pydantic import BaseModel, TypeAdapter

from chapkit.client.calls import Call, encode, keyed, parameters, present, reader
from chapkit.client.crud_calls import CrudCalls
from chapkit.core.schemas import PaginatedResponse
from chapkit.job.options import JobOptions
from chapkit.scheduler.policies import Missed, Overlap
from chapkit.scheduler.schemas import BackfillResult, RunNowResult, ScheduleOut, SchedulePreview, ScheduleRun
from chapkit.scheduler.trigger_schemas import AnyTrigger, spec_of
from chapkit.scheduler.triggers import Trigger

PREFIX = "/api/v1/schedules"
Runs: TypeAlias = list[ScheduleRun]
When: TypeAlias = Trigger | AnyTrigger | Mapping[str, Any]
"""`Cron(...)`, `Interval(...)`, `Once(...)`, or what stands on the wire."""


class Rules(TypedDict, total=False):
    """What a schedule does about everything that can come in its way; what is left out is as the service has it."""

    start_at: datetime | None
    end_at: datetime | None
    jitter: float
    missed: Missed | str | Mapping[str, int]
    grace: float
    overlap: Overlap | str
    enabled: bool
    max_failures: int | None
    job: JobOptions | Mapping[str, Any] | None


class ScheduleCalls(CrudCalls[ScheduleOut]):
    """Calls to the schedules at `prefix`."""

    def __init__(self, prefix: str = PREFIX) -> None:
        super().__init__(prefix, ScheduleOut)
        self._some_runs = reader(TypeAdapter(Runs))
        self._page_of_runs = reader(TypeAdapter(PaginatedResponse[ScheduleRun]))
        self._explained = reader(TypeAdapter(SchedulePreview))

    def switch(self, id: str, operation: str, reason: str | None = None) -> Call[ScheduleOut]:
        """Pause one, or let it go on."""
        content = None if reason is None else encode({"reason": reason})
        return Call("POST", self.path(id, operation), reader(self.one), content=content)

    def next(self, id: str, count: int) -> Call[SchedulePreview]:
        """Read the next ticks."""
        return Call("GET", self.path(id, "next"), self._explained, parameters([("count", count)]))

    def runs(self, id: str, limit: int) -> Call[Runs]:
        """Read the last ticks."""
        return Call("GET", self.path(id, "runs"), self._some_runs, parameters([("limit", limit)]))

    def runs_page(self, id: str, page: int, size: int) -> Call[PaginatedResponse[ScheduleRun]]:
        """Read one page of ticks."""
        params = parameters([("page", page), ("size", size)])
        return Call("GET", self.path(id, "runs"), self._page_of_runs, params)

    def run_now(self, id: str, key: str | None) -> Call[RunNowResult]:
        """Submit its job beside its ticks."""
        return Call("POST", self.path(id, "run-now"), reader(TypeAdapter(RunNowResult)), headers=keyed(key))

    def backfill(
        self, id: str, start: datetime, end: datetime, limit: int | None, key: str | None
    ) -> Call[BackfillResult]:
        """Make up for past ticks."""
        content = encode(present(start=start, end=end, limit=limit))
        path, read = self.path(id, "backfill"), reader(TypeAdapter(BackfillResult))
        return Call("POST", path, read, content=content, headers=keyed(key))

    def preview(
        self, trigger: When, start_at: datetime | None, end_at: datetime | None, count: int
    ) -> Call[SchedulePreview]:
        """Explain a trigger."""
        content = encode(present(trigger=_on_wire(trigger), start_at=start_at, end_at=end_at))
        path = f"{self.prefix}/$preview"
        return Call("POST", path, self._explained, parameters([("count", count)]), content)


def schedule_body(
    name: str,
    trigger: When,
    target: str,
    arguments: Mapping[str, Any] | None,
    id: str | None,
    tags: Sequence[str],
    rules: Rules,
) -> dict[str, Any]:
    """Return a schedule as it is sent."""
    body = present(id=id, name=name, target=target, arguments=arguments, trigger=_on_wire(trigger), tags=list(tags))
    for member, value in rules.items():
        if isinstance(value, Missed):
            body[member] = value.to_wire()
        elif isinstance(value, BaseModel):
            body[member] = value.model_dump(mode="json", exclude_none=True)
        else:
            body[member] = value
    return body


def _on_wire(trigger: When) -> Any:
    return spec_of(trigger) if isinstance(trigger, Trigger) else trigger

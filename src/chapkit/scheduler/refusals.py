"""What cannot be done with a schedule."""

from datetime import datetime

from chapkit.core.clock import to_text
from chapkit.core.errors import ConfigurationError, ConflictError, NotFoundError, UnprocessableError
from chapkit.core.ids import ULID


class ScheduleNotFoundError(NotFoundError):
    """There is no such schedule."""

    def __init__(self, id: ULID | str) -> None:
        super().__init__(f"Schedule {id} not found", code="schedule-not-found", found=str(id))


class NoTickToComeError(UnprocessableError):
    """Every tick lies in the past, so nothing would ever happen."""

    def __init__(self, explanation: str, now: datetime) -> None:
        super().__init__(
            f"Nothing would ever run: {explanation}, and it is {to_text(now)} already; choose a later moment, or an "
            "end_at that lies behind a tick",
            code="schedule-in-the-past",
            field="trigger",
            found=explanation,
            expected=f"a tick after {to_text(now)}",
        )


class ManagedByCodeError(ConflictError):
    """The code of the service says what this schedule is."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The schedule {name!r} is declared in the code of the service; change its with_schedule(...) there. "
            "It can be paused and resumed here",
            code="schedule-managed-by-code",
            found=name,
        )


class BackfillRangeError(UnprocessableError):
    """The range of a backfill holds no past moment."""

    def __init__(self, start: datetime, end: datetime, now: datetime) -> None:
        is_future = start < end
        super().__init__(
            f"A backfill goes from {to_text(start)} until {to_text(end)}: "
            + (f"it has to end in the past, and it is {to_text(now)}" if is_future else "the end must be later"),
            code="backfill-range-invalid",
            field="end",
            found=to_text(end),
            expected=f"at most {to_text(now)}" if is_future else f"later than {to_text(start)}",
        )


class ScheduleDuplicateError(ConfigurationError):
    """Two schedules of the code have one name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Two schedules are declared as {name!r}; give each a name: with_schedule(..., name=...)",
            code="schedule-duplicate",
            found=name,
        )

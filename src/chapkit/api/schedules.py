"""The calls of the builder that bring schedules."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from pydantic import ValidationError

from chapkit.api.calls import FeatureCalls, permissions_of
from chapkit.core.errors import ConfigurationError
from chapkit.web.feature import CrudPermissions

if TYPE_CHECKING:
    from chapkit.job.options import JobOptions
    from chapkit.scheduler.feature import ScheduleFeature
    from chapkit.scheduler.trigger_schemas import TriggerSpec

_UTC = "UTC"
_OWN_PARAMETERS = ("parameters", "target", "arguments", "cron", "timezone", "every", "at")
_MOST_SHOWN = 200


class ScheduleOptions(TypedDict, total=False):
    """What a declared schedule may have beside its task and its trigger."""

    name: str
    """What it is found by at the next start; the task, or the target, if left out."""
    start_at: datetime | None
    """No tick before this moment."""
    end_at: datetime | None
    """No tick at this moment or later."""
    jitter: float
    """The job starts up to so many seconds after its tick."""
    missed: str | Mapping[str, int]
    """What becomes of ticks that nobody was there for: `latest`, `skip` or `{"all": 10}`."""
    grace: float
    """Seconds that a tick may be late without being missed; 60, if left out."""
    overlap: str
    """What a tick does while an earlier job goes on: `skip`, `allow`, `queue` or `replace`."""
    max_failures: int | None
    """So many failures in a row pause it."""
    job: "JobOptions | None"
    """How its jobs are run."""
    tags: Sequence[str]
    """Labels to find it by."""
    enabled: bool
    """Whether it runs from the start; later that is up to those who pause and resume it."""


class ScheduleCalls(FeatureCalls):
    """Schedules over HTTP, and in code."""

    def with_schedules(
        self,
        *,
        prefix: str = "/api/v1/schedules",
        tags: Sequence[str] = ("Schedules",),
        permissions: CrudPermissions | None = None,
        **allow: bool | None,
    ) -> Self:
        """Submit jobs when their time has come, as clients, or `with_schedule`, say.

        Args:
            prefix: Where the routes are.
            tags: Under which they stand in the API's description.
            permissions: Which of the generic operations there are.
            allow: `allow_create`, `allow_read`, `allow_update`, `allow_delete`, on top of `permissions`.
        """
        allowed = permissions_of(permissions, allow)
        return self.with_feature(replace(self._schedules(), prefix=prefix, tags=tuple(tags), permissions=allowed))

    def with_schedule(
        self,
        task: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        target: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        cron: str | None = None,
        timezone: str = _UTC,
        every: timedelta | float | str | None = None,
        at: datetime | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Self:
        """Declare a schedule; at the start of the service its row becomes what stands here, and goes with this call.

        Args:
            task: A registered function, or the command of a stored task.
            parameters: What the task is called with.
            target: Something else than a task: `ml.train`, `ml.predict`, `handler`.
            arguments: What that is told.
            cron: Expression of five or six fields, by the clock of `timezone`.
            timezone: Name of the IANA database, such as `Africa/Kigali`.
            every: Or an interval: `"15m"`, seconds, a timedelta.
            at: Or one moment, aware.
            options: Its name and its rules; see `ScheduleOptions`.

        Raises:
            ConfigurationError: Something is left open, unknown or wrong (`schedule-declaration-invalid`).
        """
        # Lazy: only services with schedules need what follows.
        from chapkit.scheduler.declared import DeclaredSchedule
        from chapkit.scheduler.schemas import ScheduleIn

        called = _require_known(options, options.get("name") or task or target or "")
        name, told = _subject(task, parameters, target, arguments)
        with _declaring(called):
            members = {"name": task or name, "trigger": _trigger(cron, timezone, every, at), **options}
            data = ScheduleIn.model_validate({**members, "target": name, "arguments": told})
        present = self._schedules()
        return self.with_feature(replace(present, declared=(*present.declared, DeclaredSchedule(data))))

    def _schedules(self) -> "ScheduleFeature":
        # Lazy: only services with schedules need it.
        from chapkit.scheduler.feature import ScheduleFeature

        present = self._features.get(ScheduleFeature.kind)
        return present if isinstance(present, ScheduleFeature) else ScheduleFeature()


def _subject(
    task: str | None, parameters: Mapping[str, Any] | None, target: str | None, arguments: Mapping[str, Any] | None
) -> tuple[str, dict[str, Any]]:
    if (task is None) == (target is None) or (task is not None and arguments is not None):
        raise _invalid("say what is to be run: with_schedule('name-of-a-task', parameters={...}, ...), or target=...")
    if target is not None and parameters is not None:
        raise _invalid("parameters belong to a task; what another target is told are its arguments")
    if target is not None:
        return target, dict(arguments or {})
    return "task", {"task": task, **({} if parameters is None else {"parameters": dict(parameters)})}


def _trigger(
    cron: str | None, timezone: str, every: timedelta | float | str | None, at: datetime | None
) -> "TriggerSpec":
    # Lazy: only services with schedules need what follows.
    from chapkit.scheduler.trigger_schemas import CronTrigger, IntervalTrigger, OnceTrigger
    from chapkit.scheduler.triggers import duration, duration_text

    if [cron, every, at].count(None) != 2:
        raise _invalid("say once when it runs: cron='0 6 * * *', every='15m', or at=datetime(...)")
    if cron is None and timezone != _UTC:
        raise _invalid(f"timezone={timezone!r} is for cron; what is repeated at an interval knows no zone")
    if cron is not None:
        return CronTrigger(expression=cron, timezone=timezone)
    if every is not None:
        return IntervalTrigger(every=duration_text(duration(every)))
    if at is None:  # pragma: no cover  # one of the three is there
        raise _invalid("say when it runs")
    return OnceTrigger(at=at)


def _require_known(options: Mapping[str, Any], called: str) -> str:
    """Return the name of a declaration whose options are all known."""
    known = [*_OWN_PARAMETERS, *ScheduleOptions.__annotations__]
    strange = next((name for name in options if name not in known), None)
    if strange is None:
        return called
    # Lazy: only what is refused needs it.
    from chapkit.task.bodies import unknown

    raise _invalid(
        f"{strange}: {unknown(strange, known, 'option')}", called, field=strange, found=strange, expected=known
    )


@contextmanager
def _declaring(called: str) -> Generator[None]:
    """Say of what Pydantic refuses which schedule it is."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join("cron" if part == "expression" else str(part) for part in first["loc"])
        says = f"{field}: {first['msg']}" if field else first["msg"]
        raise _invalid(says, called, field=field, found=repr(first["input"])[:_MOST_SHOWN]) from error


def _invalid(detail: str, called: str = "", **members: Any) -> ConfigurationError:
    which = f"The schedule {called!r}" if called else "This schedule"
    return ConfigurationError(f"{which} cannot be declared: {detail}", code="schedule-declaration-invalid", **members)

"""What any schedule can submit: a handler of the service by its name."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, ValidationError

from chapkit.core.errors import UnprocessableError
from chapkit.core.services import Scope
from chapkit.job.ports import JobHandlers
from chapkit.job.schemas import JobSpec
from chapkit.job.targets import JobTarget
from chapkit.task.bodies import StrictBody

_OURS = "chapkit."


class HandlerArguments(StrictBody):
    """Which handler, and what it gets."""

    handler: str
    payload: dict[str, Any] = Field(default_factory=dict[str, Any])


class HandlerTarget(JobTarget):
    """Submits a job of a handler that the service brings.

    Those that chapkit brings are no choice here: what they get is checked by targets of their own.
    """

    name: ClassVar[str] = "handler"

    async def spec(self, scope: Scope, arguments: Mapping[str, Any]) -> JobSpec:
        """Return the job.

        Raises:
            UnprocessableError: The arguments are malformed (`target-arguments-invalid`), or there is no such handler
                (`schedule-handler-unknown`).
        """
        wanted = _read(arguments)
        handlers = scope.services.get(JobHandlers)
        known = [name for name in handlers.names if not type(handlers.get(name)).__module__.startswith(_OURS)]
        if wanted.handler not in known:
            raise UnprocessableError(
                f"No handler {wanted.handler!r} can be scheduled here; see `expected` for those that can, and use the "
                "targets of tasks and ML for what chapkit itself brings",
                code="schedule-handler-unknown",
                field="arguments.handler",
                found=wanted.handler,
                expected=known,
            )
        return JobSpec(handler=wanted.handler, payload=wanted.payload, labels={"name": wanted.handler})


def _read(arguments: Mapping[str, Any]) -> HandlerArguments:
    try:
        return HandlerArguments.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(["arguments", *map(str, first["loc"])])
        raise UnprocessableError(f"{field}: {first['msg']}", code="target-arguments-invalid", field=field) from error

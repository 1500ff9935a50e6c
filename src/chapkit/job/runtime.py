"""What the parts of one application's job system share."""

from dataclasses import dataclass, field

from chapkit.core.clock import Clock, SystemClock
from chapkit.core.services import Services
from chapkit.job.dispatchers import LocalDispatcher
from chapkit.job.executors.user_code import UserCode
from chapkit.job.hub import JobHub
from chapkit.job.ports import JobHandlers
from chapkit.job.presence import Presence


@dataclass(frozen=True)
class JobRuntime:
    """The parts of a job system, made once for each application."""

    services: Services
    clock: Clock = field(default_factory=SystemClock)
    handlers: JobHandlers = field(default_factory=JobHandlers)
    hub: JobHub = field(default_factory=JobHub)
    dispatcher: LocalDispatcher = field(default_factory=LocalDispatcher)
    user_code: UserCode = field(default_factory=UserCode)
    presence: Presence = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "presence", Presence(self.services, self.clock))

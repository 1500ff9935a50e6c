"""What the parts of one application's job system share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from chapkit.core.clock import Clock, SystemClock
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.dispatchers import LocalDispatcher
from chapkit.job.executors.user_code import UserCode
from chapkit.job.hub import JobHub
from chapkit.job.notices import News, NoNotices, Notices
from chapkit.job.ports import JobHandlers
from chapkit.job.presence import Presence


@dataclass(frozen=True)
class JobLimits:
    """How long the engine is patient."""

    desert_after: float = 10.0
    """Seconds that a function gets to stop when it was asked to, before it is left to itself."""
    look_every: float = 10.0
    """Seconds between two looks for what nobody told."""


@dataclass(frozen=True)
class JobRuntime:
    """The parts of a job system, made once for each application."""

    services: Services
    clock: Clock = field(default_factory=SystemClock)
    limits: JobLimits = field(default_factory=JobLimits)
    handlers: JobHandlers = field(default_factory=JobHandlers)
    hub: JobHub = field(default_factory=JobHub)
    dispatcher: LocalDispatcher = field(default_factory=LocalDispatcher)
    user_code: UserCode = field(default_factory=UserCode)
    presence: Presence = field(init=False)
    listeners: dict[str, Callable[[], None]] = field(default_factory=dict[str, Callable[[], None]])
    """Called on the event loop, by topic, when another process has told of it, or may have."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "presence", Presence(self.services, self.clock))

    async def listen(self, notices: Notices) -> None:
        """Exchange news with the other processes that share the database."""
        await notices.open(self._hear)
        self.dispatcher.notices = notices
        if not isinstance(notices, NoNotices):
            self.hub.tell_others = lambda job_id: notices.publish(News(changed=frozenset({job_id})))

    def tell(self, topic: str) -> None:
        """Let the other processes know that this topic has changed; on the event loop, after the commit."""
        self.dispatcher.notices.publish(News(topics=frozenset({topic})))

    async def listen_no_more(self) -> None:
        """Say what is still to be said, then hear nothing more."""
        notices, self.dispatcher.notices = self.dispatcher.notices, NoNotices()
        self.hub.tell_others = None
        await notices.close()

    def _hear(self, news: News) -> None:
        self.dispatcher.hear(news)
        changed: frozenset[ULID] = news.changed
        if news.anything:
            self.hub.wake_all()
        for job_id in changed:
            self.hub.wake(job_id)
        for topic, listener in self.listeners.items():
            if news.anything or topic in news.topics:
                listener()

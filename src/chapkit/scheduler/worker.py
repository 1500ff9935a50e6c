"""Wakes when a schedule is due."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from chapkit.core.clock import Clock
from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.services import Services
from chapkit.job.runtime import JobRuntime
from chapkit.scheduler.alarm import Alarm
from chapkit.scheduler.firing import Firing
from chapkit.scheduler.repository import ScheduleRepository

BATCH = 100
AT_ONCE = 4
"""Schedules that are seen to at the same time, as a database on another machine is mostly waited for."""
LOOK_EVERY = 10.0
"""Seconds between two looks at least: the clock may be put forward."""
TOPIC = "schedules"
_NEWS_GATHER = 0.2
"""Seconds in which news of other processes are gathered; on SQLite any of their commits is such news."""
_PAUSE_AFTER_ERROR = 1.0
_MOST_ERRORS = 5
"""Errors in a row after which it waits before it goes on."""
_PAUSE_FOR_OTHERS = 0.05
"""Seconds after which it looks again when others were at work on all that was due."""


class ScheduleWorker:
    """Sees to what is due; it sleeps until then, and any number of processes may have one."""

    name = "schedules"

    def __init__(self, services: Services, *, look_every: float = LOOK_EVERY) -> None:
        self._services = services
        self._firing = Firing(services)
        self._look_every = look_every
        # Several processes begin at different ends, so that they seldom want the same.
        self._chance = random.Random()
        self.alarm = Alarm()
        self._gathering: asyncio.TimerHandle | None = None
        self.is_working = False

    def wake(self) -> None:
        """Let it look again: something may be due sooner than it thinks."""
        self.alarm.ring()

    def tell(self) -> None:
        """Let it look again, and the workers of other processes, too."""
        self.wake()
        self._runtime.tell(TOPIC)

    def hear(self) -> None:
        """Look again soon: another process may have changed when something is due."""
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(_NEWS_GATHER, self._look_for_news)

    def _look_for_news(self) -> None:
        self._gathering = None
        self.wake()

    async def run(self) -> None:
        """Work until cancelled."""
        self.alarm.open()
        self._runtime.listeners[TOPIC] = self.hear
        self.is_working = True
        try:
            while True:
                try:
                    pause = await self.work()
                except (ChapkitError, SQLAlchemyError, ConnectionError) as error:
                    get_logger("chapkit.scheduler").warning(
                        "schedule.worker_waits", error=f"{type(error).__name__}: {error}"
                    )
                    pause = _PAUSE_AFTER_ERROR
                await self.alarm.wait(pause)
        finally:
            self.is_working = False
            del self._runtime.listeners[TOPIC]
            if self._gathering is not None:
                self._gathering.cancel()
                self._gathering = None

    async def work(self) -> float:
        """See to everything that is due, and return the seconds until something is."""
        while due := await self._list_due():
            self._chance.shuffle(due)
            outcomes = await self._fire_all(due)
            if True not in outcomes:
                return _PAUSE_AFTER_ERROR if None in outcomes else _PAUSE_FOR_OTHERS
        return await self._patience()

    async def _fire_all(self, due: Sequence[ULID]) -> list[bool | None]:
        outcomes: list[bool | None] = []
        for first in range(0, len(due), AT_ONCE):
            outcomes += await asyncio.gather(*map(self._fire, due[first : first + AT_ONCE]))
            if outcomes[-_MOST_ERRORS:] == [None] * _MOST_ERRORS:
                # Probably not the fault of one schedule.
                break
            # Others want to work as well, also when very much is due.
            await asyncio.sleep(0)
        return outcomes

    async def _fire(self, schedule_id: ULID) -> bool | None:
        """Tell whether there was something to do; `None` after an error."""
        try:
            return await self._firing.fire(schedule_id, self._clock.now())
        except Exception as error:
            get_logger("chapkit.scheduler").error(
                "schedule.not_seen_to", schedule_id=schedule_id, error=f"{type(error).__name__}: {error}"
            )
            return None

    async def _list_due(self) -> list[ULID]:
        async with self._services.scope.read() as scope:
            return await ScheduleRepository(scope.session).list_due(self._clock.now(), BATCH)

    async def _patience(self) -> float:
        async with self._services.scope.read() as scope:
            moment = await ScheduleRepository(scope.session).next_moment()
        if moment is None:
            return self._look_every
        left = moment - self._clock.now()
        return min(self._look_every, max(0.0, left / timedelta(seconds=1)))

    @property
    def _clock(self) -> Clock:
        return self._runtime.clock

    @property
    def _runtime(self) -> JobRuntime:
        return self._services.get(JobRuntime)

"""One run of a function: what everything that is made for it may look at."""

import asyncio
from dataclasses import dataclass, field

from chapkit.core.services import Services
from chapkit.job.context import JobContext
from chapkit.task.loop_things import LoopThings


@dataclass(frozen=True, eq=False)
class Run:
    """A run of a function; providers may ask for it by this type.

    Make it on the event loop of the service: what has to happen there is brought there.
    """

    services: Services
    function: str
    """What the function is called in the log."""
    things: LoopThings = field(default_factory=LoopThings)
    """What lives longer than the run."""
    context: JobContext | None = None
    """The job, if it is one."""
    home: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    """The event loop of the service."""

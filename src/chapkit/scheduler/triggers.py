"""When something is due."""

from chapkit.scheduler.cron import Cron
from chapkit.scheduler.durations import duration, duration_text
from chapkit.scheduler.interval import Interval
from chapkit.scheduler.once import Once
from chapkit.scheduler.trigger import Trigger
from chapkit.scheduler.window import Limited, Window

__all__ = ["Cron", "Interval", "Limited", "Once", "Trigger", "Window", "duration", "duration_text"]

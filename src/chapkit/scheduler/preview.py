"""A trigger explained without being stored."""

from datetime import datetime

from chapkit.scheduler.schemas import SchedulePreview, SchedulePreviewIn
from chapkit.scheduler.trigger_schemas import build_trigger, read_trigger
from chapkit.scheduler.triggers import Window
from chapkit.scheduler.views import anchored, upcoming
from chapkit.scheduler.words import explain


def preview(wanted: SchedulePreviewIn, now: datetime, count: int) -> SchedulePreview:
    """Return what a schedule made now would do."""
    window = Window(wanted.start_at, wanted.end_at)
    text = anchored(wanted.trigger, window.start or now)
    trigger = window.limit(build_trigger(text))
    return SchedulePreview(explanation=explain(trigger), next=upcoming(trigger, read_trigger(text), now, count))

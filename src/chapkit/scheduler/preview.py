"""A trigger explained without being stored."""

from datetime import datetime

from chapkit.scheduler.schemas import SchedulePreview, SchedulePreviewIn
from chapkit.scheduler.trigger_schemas import build_trigger, read_trigger
from chapkit.scheduler.views import anchored, upcoming
from chapkit.scheduler.window import window_of
from chapkit.scheduler.words import explain


def preview(wanted: SchedulePreviewIn, now: datetime, count: int) -> SchedulePreview:
    """Return what a schedule made now would do."""
    window = window_of(wanted.start_at, wanted.end_at)
    text = anchored(wanted.trigger, window.start or now)
    trigger = window.limit(build_trigger(text))
    return SchedulePreview(explanation=explain(trigger), next=upcoming(trigger, read_trigger(text), now, count))

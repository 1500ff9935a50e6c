import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chapkit.client import Client
from chapkit.scheduler import Interval, Once
from examples import scheduled_api

PATIENCE = 30.0


def test_schedules_of_the_code_are_there_and_can_be_paused(folder: Path) -> None:
    with Client(app=scheduled_api.app) as client:
        download, heartbeat = client.schedules.list(sort="name")
        assert (download.name, download.explanation) == ("climate/download", "At 06:00 every day, Africa/Kigali")
        assert {schedule.managed_by for schedule in (download, heartbeat)} == {"code"}
        assert [tick.local[11:16] for tick in client.schedules.next(download.id).next] == ["06:00"] * 5
        job_id = client.schedules.run_now(download.id)
        job = client.jobs.wait(job_id, timeout=PATIENCE)
        assert client.tasks.result(job.artifact_id) == {"Huye": 4, "Rubavu": 6}
        assert client.schedules.pause(heartbeat.id).state == "paused"


def test_a_schedule_that_was_added_runs(folder: Path) -> None:
    with Client(app=scheduled_api.app) as client:
        soon = datetime.now(UTC) + timedelta(milliseconds=300)
        arguments = {"function": "climate/download", "parameters": {"places": ["Musanze"]}}
        schedule = client.schedules.create("once", Once(soon), arguments=arguments)
        deadline = time.monotonic() + PATIENCE
        while (found := client.schedules.get(schedule.id)).last_job is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert found.last_job is not None
        job = client.jobs.wait(found.last_job.id, timeout=PATIENCE)
        assert client.tasks.result(job.artifact_id) == {"Musanze": 7}
        assert client.schedules.get(schedule.id).state == "finished"


def test_a_task_runs_at_an_interval(folder: Path) -> None:
    with Client(app=scheduled_api.app) as client:
        task = client.tasks.create("heartbeat", task_type="python")
        body = {"schedule_type": "interval", "interval_seconds": 3600}
        made = client.request("POST", f"/api/v1/tasks/{task.id}/$schedule", json=body)
        assert made.status_code == 201
        (schedule,) = client.schedules.list(filter=f"task_id:eq:{task.id}")
        assert isinstance(schedule.trigger.build(), Interval)

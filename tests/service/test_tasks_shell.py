"""Commands as tasks: only where they are allowed, bounded, killed with what they have started."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.job import JobOptions, JobService, JobTargets
from chapkit.task import Task
from tests.service.task_calls import TASKS, TaskCalls, calling, service
from tests.unit.job.executors.watching import is_alive

pytestmark = pytest.mark.anyio

PATIENCE = 20.0


@pytest.fixture
async def calls(database_url: str) -> AsyncIterator[TaskCalls]:
    async with calling(service(url=database_url, allow_shell=True)) as calls:
        yield calls


async def test_the_artifact_holds_what_the_command_wrote(calls: TaskCalls) -> None:
    task = await calls.create("echo out; echo err >&2", "shell")
    job = await calls.run(task["id"])
    assert (job["status"], job["kind"], job["name"]) == ("completed", "task", "echo out; echo err >&2")
    data = await calls.artifact(job)
    content = data["content"]
    assert (content["stdout"], content["stderr"], content["exit_code"]) == ("out\n", "err\n", 0)
    assert (content["task"]["id"], content["task"]["task_type"], data["type"]) == (task["id"], "shell", "task_result")


async def test_another_exit_code_than_0_is_a_failed_job_with_the_last_words_of_the_command(calls: TaskCalls) -> None:
    job = await calls.run((await calls.create("echo some; echo sorry >&2; exit 3", "shell"))["id"])
    assert (job["status"], job["error_code"]) == ("failed", "command-failed")
    assert "exit code 3" in job["error"]
    assert job["error"].endswith("sorry")
    content = (await calls.artifact(job))["content"]
    assert (content["stdout"], content["stderr"], content["exit_code"]) == ("some\n", "sorry\n", 3)
    assert content["error"]["type"] == "ShellTaskFailedError"


async def test_parameters_are_in_the_environment_and_nothing_of_the_service_is(
    calls: TaskCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    task = await calls.create('echo "$CHAPKIT_PARAMETERS [$API_KEY]"', "shell", parameters={"place": "Bokeo"})
    content = await calls.content(task["id"], {"parameters": {"year": 2024}})
    assert content["stdout"] == '{"place":"Bokeo","year":2024} []\n'


async def test_output_that_is_no_text_is_kept(calls: TaskCalls) -> None:
    content = await calls.content((await calls.create(r"printf 'a\377b'", "shell"))["id"])
    assert content["stdout"] == "a\ufffdb"


async def test_long_output_is_kept_from_both_ends(calls: TaskCalls) -> None:
    command = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo last"
    content = await calls.content((await calls.create(command, "shell"))["id"])
    assert content["truncated"] is True
    assert content["stdout"].startswith("first\n")
    assert content["stdout"].endswith("last\n")
    assert len(content["stdout"]) < 100_000


async def test_a_command_that_takes_too_long_is_killed_and_its_output_kept(calls: TaskCalls) -> None:
    task = await calls.create(
        "head -c 30000000 /dev/zero | sha256sum >&2; echo begun; sleep 60", "shell", job={"timeout": 1}
    )
    job = await calls.run(task["id"])
    assert (job["status"], job["error_code"]) == ("failed", "job-timed-out")
    assert "longer than 1 s" in job["error"]
    content = (await calls.artifact(job))["content"]
    assert (content["stdout"], content["error"]["type"]) == ("begun\n", "JobTimeoutError")
    [attempt] = (await calls.client.get(f"/api/v1/jobs/{job['id']}/$attempts")).json()
    assert attempt["outcome"] == "timed-out"
    assert attempt["cpu_seconds"] > 0.01


async def test_the_limit_of_a_schedule_takes_the_place_of_the_limit_of_the_task(database_url: str) -> None:
    app = service(url=database_url, allow_shell=True)
    async with calling(app) as calls:
        task = await calls.create("echo begun; sleep 60", "shell", job={"timeout": 30})
        services = app.state.services
        async with services.scope.write() as scope:
            spec = await services.get(JobTargets).get("task").spec(scope, {"task_id": task["id"]})
            own = JobOptions(timeout=3).apply(spec)
            job_id = (await services.get(JobService).submit(own, scope)).id
        job = await calls.finished(job_id)
        assert (job["status"], job["error_code"]) == ("failed", "job-timed-out")
        # In a process that is very busy, the attempt is noticed to be late before its command.
        assert "3 s" in job["error"]


async def test_a_canceled_command_is_killed_with_what_it_has_started(calls: TaskCalls, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = f"sleep 600 & echo $! > {pid}.new; mv {pid}.new {pid}; wait"
    answer = await calls.execute((await calls.create(command, "shell"))["id"])
    job_id = answer.json()["job_id"]
    async with asyncio.timeout(PATIENCE):
        while not pid.exists():
            await asyncio.sleep(0.02)
    await calls.client.post(f"/api/v1/jobs/{job_id}/$cancel")
    assert (await calls.finished(job_id))["status"] == "canceled"
    assert not is_alive(int(pid.read_text()))


async def test_lines_of_the_command_are_events_of_its_job(calls: TaskCalls) -> None:
    job = await calls.run((await calls.create("echo hello", "shell"))["id"])
    events = (await calls.client.get(f"/api/v1/jobs/{job['id']}/$events")).json()
    assert "hello" in [event["data"].get("message") for event in events if event["kind"] == "log"]


async def test_commands_are_refused_where_nobody_has_allowed_them() -> None:
    app = service()
    async with calling(app) as calls:
        answer = await calls.client.post(TASKS, json={"command": "true"})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (403, "shell-tasks-off")
        assert "with_tasks(allow_shell=True)" in problem["detail"]
        task_id = ULID()
        async with app.state.services.scope.write() as scope:
            scope.session.add(Task(id=task_id, command="true", enabled=False))
        assert (await calls.client.patch(f"{TASKS}/{task_id}", json={"enabled": True})).status_code == 403
        assert (await calls.patch(task_id, tags=["old"]))["tags"] == ["old"]
        await _enable(app, task_id)
        answer = await calls.execute(task_id)
        assert (answer.status_code, answer.json()["code"]) == (403, "shell-tasks-off")


async def test_a_command_that_was_submitted_before_is_not_run_by_a_service_that_runs_none(tmp_path: Path) -> None:
    url, proof = f"sqlite+aiosqlite:///{tmp_path / 'service.db'}", tmp_path / "proof"
    async with calling(service(url=url, allow_shell=True, jobs={"workers": 0})) as calls:
        task = await calls.create(f"touch {proof}", "shell")
        job_id = (await calls.execute(task["id"])).json()["job_id"]
    async with calling(service(url=url)) as calls:
        job = await calls.finished(job_id)
        assert (job["status"], job["error_code"]) == ("failed", "shell-tasks-off")
        assert (await calls.artifact(job))["content"]["exit_code"] is None
    assert not proof.exists()


async def _enable(app: object, task_id: ULID) -> None:
    async with app.state.services.scope.write() as scope:  # type: ignore[attr-defined]
        task = await scope.session.get(Task, task_id)
        task.enabled = True


async def test_a_command_has_an_empty_folder_of_its_own(database_url: str) -> None:
    async with calling(service(url=database_url, allow_shell=True)) as calls:
        task = await calls.create("ls -A; pwd; touch left-behind", "shell")
        folders = {(await calls.artifact(await calls.run(task["id"])))["content"]["stdout"].strip() for _ in range(2)}
        assert len(folders) == 2
        assert not any(Path(folder).exists() for folder in folders)


async def test_commands_may_share_a_folder(tmp_path: Path) -> None:
    (tmp_path / "shared file").write_text("x")
    async with calling(service(allow_shell=True, shell_dir=tmp_path)) as calls:
        job = await calls.run((await calls.create("ls", "shell"))["id"])
        assert (await calls.artifact(job))["content"]["stdout"] == "shared file\n"
    with pytest.raises(ConfigurationError, match="shell_dir") as caught:
        service(allow_shell=True, shell_dir=tmp_path / "nowhere")
    assert caught.value.code == "task-options-invalid"

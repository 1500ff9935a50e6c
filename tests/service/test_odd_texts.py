"""Texts that are no Unicode, and errors that cannot say what they are."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chapkit.task import Cache, Registry
from tests.service.task_calls import TASKS, TaskCalls, builder, calling

pytestmark = pytest.mark.anyio
HALF = "\\ud800"
registry = Registry()


class Speechless(Exception):
    def __str__(self) -> str:
        raise TypeError("no text")


@registry.register("add")
def add(a: int, b: int = 1) -> int:
    return a + b


@registry.register("take")
def take(a: int, **rest: int) -> int:
    return a


@registry.register("fail")
def fail(text: str = "x") -> None:
    raise Speechless


def key_of(parameters: Any) -> str:
    raise Speechless


@registry.register("kept", cache=Cache(ttl="1h", key=key_of))
def kept(a: int = 1) -> int:
    return a


@pytest.fixture
async def calls(database_url: str) -> AsyncIterator[TaskCalls]:
    app = builder(registry, database_url, allow_shell=True).with_schedules().build()
    async with calling(app) as calls:
        yield calls


EVERY = '"trigger":{"type":"interval","every":"1h"},"target":"task"'
BODIES = [
    ("POST", f"{TASKS}/ADD/$execute", '{"parameters":{"HALF":1}}'),
    ("POST", f"{TASKS}/TAKE/$execute", '{"parameters":{"a":1,"HALF":1}}'),
    ("POST", TASKS, '{"command":"fail","task_type":"python","parameters":{"text":"HALF"}}'),
    ("POST", TASKS, '{"command":"echo","task_type":"shell","parameters":{"HALF":"HALF"}}'),
    ("POST", f"{TASKS}/$invalidate", '{"tag":"HALF"}'),
    ("POST", "/api/v1/schedules", f'{{"name":"HALF",{EVERY},"arguments":{{"function":"add","parameters":{{"a":1}}}}}}'),
    ("POST", "/api/v1/schedules", f'{{"name":"x",{EVERY},"arguments":{{"function":"HALF"}}}}'),
    ("POST", "/api/v1/schedules/$preview", '{"trigger":{"type":"cron","expression":"HALF"}}'),
    ("POST", "/api/v1/schedules/$preview", '{"trigger":{"type":"cron","expression":"* * * * *","timezone":"HALF"}}'),
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
async def test_half_of_a_surrogate_pair_is_refused(calls: TaskCalls, method: str, path: str, body: str) -> None:
    ids = {name: (await calls.create(name, parameters={"a": 1}))["id"] for name in ("add", "take")}
    for name, id in ids.items():
        path = path.replace(name.upper(), id)
    headers = {"content-type": "application/json"}
    answer = await calls.client.request(method, path, content=body.replace("HALF", HALF), headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]


async def test_a_function_whose_error_cannot_say_what_it_is_fails_its_job(calls: TaskCalls) -> None:
    job = await calls.run((await calls.create("fail"))["id"])
    assert (job["status"], job["attempt"]) == ("failed", 1)
    assert job["error"] == "Speechless: (its text cannot be made: TypeError)"
    assert (await calls.artifact(job))["content"]["error"]["type"] == "Speechless"


async def test_a_key_whose_error_cannot_say_what_it_is_is_refused(calls: TaskCalls) -> None:
    answer = await calls.execute((await calls.create("kept"))["id"])
    assert (answer.status_code, answer.json()["code"]) == (500, "cache-key-failed")
    assert "its text cannot be made" in answer.json()["detail"]

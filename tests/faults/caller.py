"""Submits over HTTP, like a client that asks again with the same key until it is answered."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.faults.jobs import HANDLERS, TRAIN, ForgottenWork, training_body

TIMEOUT = 15.0
_PAUSE = 0.06
_NAMES = [handler.name for handler in HANDLERS if handler is not ForgottenWork]
_LATER = frozenset({429, 503})


@dataclass(frozen=True)
class Call:
    """A request that may have to be made several times."""

    key: str
    handler: str
    body: bytes

    @property
    def path(self) -> str:
        return "/api/v1/ml/$train" if self.handler == TRAIN else "/faults/jobs"


@dataclass
class Answers:
    """What was answered, and what should not have been."""

    accepted: dict[str, str] = field(default_factory=dict)
    """Handler by id of the job."""
    by_key: dict[str, tuple[Call, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def note(self, call: Call, job_id: str) -> None:
        """Keep an answer; another one under the same key must name the same job."""
        _, first = self.by_key.setdefault(call.key, (call, job_id))
        if first != job_id:
            self.problems.append(f"key {call.key} was answered with {first} and then with {job_id}")
        self.accepted[job_id] = call.handler


class Caller(threading.Thread):
    """Sends one request after another to whoever is there."""

    def __init__(self, ports: Callable[[], Sequence[int]], config_id: str, seed: int) -> None:
        super().__init__(name="fault-caller", daemon=True)
        self.answers = Answers()
        self._ports = ports
        self._config_id = config_id
        self._chance = random.Random(seed)
        self._open: list[Call] = []
        self._closing = threading.Event()

    def run(self) -> None:
        while not self._closing.wait(_PAUSE):
            self._step()

    def stop(self) -> None:
        """Make no new requests; those that were not answered are still to be `finish`ed."""
        self._closing.set()
        self.join(TIMEOUT * 2)

    def finish(self, port: int, seconds: float) -> None:
        """Ask until everything is answered, and some of what was answered once more."""
        repeated = self._chance.sample(sorted(self.answers.by_key), min(30, len(self.answers.by_key)))
        self._open += [self.answers.by_key[key][0] for key in repeated]
        deadline = time.monotonic() + seconds
        while self._open and time.monotonic() < deadline:
            self._send(self._open.pop(0), port)
        self.answers.problems += [f"{call.handler} under key {call.key} was never answered" for call in self._open]

    def _step(self) -> None:
        ports = self._ports()
        if not ports:
            return
        again = self._open and self._chance.random() < 0.5
        call = self._open.pop(0) if again else self._new_call()
        self._send(call, self._chance.choice(ports))

    def _new_call(self) -> Call:
        key = f"{self._chance.getrandbits(64):016x}"
        if self._chance.random() < 0.1:
            return Call(key, TRAIN, training_body(self._config_id, self._chance.getrandbits(31)))
        handler = self._chance.choice(_NAMES)
        return Call(key, handler, json.dumps({"handler": handler, "number": self._chance.getrandbits(31)}).encode())

    def _send(self, call: Call, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        headers = {"Content-Type": "application/json", "Idempotency-Key": call.key}
        try:
            connection.request("POST", call.path, call.body, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            # Dead before it answered: whether it had accepted, only the same key can tell.
            self._open.append(call)
            return
        finally:
            connection.close()
        if response.status == 202:
            self.answers.note(call, json.loads(text)["job_id"])
        else:
            self._open.append(call)
            if response.status not in _LATER:
                self.answers.problems.append(f"{call.path} answered {response.status}: {text[:500]!r}")

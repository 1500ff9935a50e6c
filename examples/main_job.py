"""The main job: start the diabetes service, train on 353 patients, predict the other 89 over HTTP.

python -m examples.main_job [--once]
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score

from chapkit.data import DataFrame

HOST = "127.0.0.1"
PATIENTS_TO_TRAIN_ON = 353
ROWS_SHOWN = 8
START_SECONDS = 60


def main() -> int:
    """Run the job; serve on afterwards unless `--once` was given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="stop after the table")
    once = parser.parse_args().once
    url = f"http://{HOST}:{_port()}"
    with _service(url) as service:
        train_and_predict(url)
        if once:
            return 0
        print("Serving until Ctrl-C.")
        return service.wait()


def train_and_predict(url: str) -> float:
    """Do what a user does: store a configuration, train, predict, look at the result; return the R² score."""
    frame = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    known, others = frame.iloc[:PATIENTS_TO_TRAIN_ON], frame.iloc[PATIENTS_TO_TRAIN_ON:]
    with httpx.Client(base_url=url, timeout=60, headers={"Prefer": "wait=60"}) as client:
        config = _post(client, "/api/v1/configs", {"name": "ridge", "data": {"alpha": 0.1}})
        model = _post(client, "/api/v1/ml/$train", {"config_id": config["id"], "data": _wire(known)})
        measurements = others.drop(columns=["progression"])
        answer = _post(client, "/api/v1/ml/$predict", {"artifact_id": model["id"], "future": _wire(measurements)})
        models = client.get("/api/v1/artifacts", params={"filter": "level:eq:0"}).json()
    predicted = DataFrame.model_validate(answer["data"]["content"]).to_pandas()["sample_0"]
    table = pd.DataFrame({"observed": others["progression"].to_numpy(), "predicted": predicted.to_numpy()})
    return _report(url, table, model["id"], answer["id"], len(models))


def _report(url: str, table: pd.DataFrame, model_id: str, prediction_id: str, models: int) -> float:
    table.insert(0, "patient", range(PATIENTS_TO_TRAIN_ON + 1, PATIENTS_TO_TRAIN_ON + 1 + len(table)))
    table["error"] = table["predicted"] - table["observed"]
    score = float(r2_score(table["observed"], table["predicted"]))
    print(table.head(ROWS_SHOWN).to_string(index=False, float_format="%.1f"))
    print(f"... and {len(table) - ROWS_SHOWN} more patients\n")
    print(f"R² {score:.3f} on {len(table)} patients that the model never saw; {models} trained so far in ./data")
    print(f"model       {url}/api/v1/artifacts/{model_id}")
    print(f"prediction  {url}/api/v1/artifacts/{prediction_id}")
    print(f"jobs        {url}/api/v1/jobs")
    print(f"all routes  {url}/docs\n", flush=True)
    return score


def _post(client: httpx.Client, path: str, body: object) -> dict:
    response = client.post(path, json=body)
    if response.is_error:
        raise SystemExit(f"POST {path} answered {response.status_code}: {response.text}")
    return response.json()


def _wire(frame: pd.DataFrame) -> dict:
    return DataFrame.from_pandas(frame).model_dump()


def _port() -> int:
    wanted = int(os.environ.get("PORT", "8000"))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            probe.bind((HOST, 0))
            print(f"Port {wanted} is taken; using {probe.getsockname()[1]}.")
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _service(url: str) -> Iterator[subprocess.Popen[bytes]]:
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "uvicorn", "examples.diabetes:app", "--host", HOST, "--port", port]
    environment = {"LOG_LEVEL": "WARNING", **os.environ}
    process = subprocess.Popen([*command, "--log-level", "warning"], env=environment)
    try:
        _wait_until_healthy(url, process)
        yield process
    except KeyboardInterrupt:
        print("\nStopping.")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"The service ended with status {process.returncode} before it answered.")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", timeout=2).json()["status"] == "healthy":
                return
        time.sleep(0.05)
    raise SystemExit(f"The service did not answer at {url}/health within {START_SECONDS} s.")


if __name__ == "__main__":
    sys.exit(main())

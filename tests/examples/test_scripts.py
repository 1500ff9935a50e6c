import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_quickstart_stores_and_finds(tmp_path: Path) -> None:
    assert _run("examples.quickstart", tmp_path).startswith("north: Troms, 6 periods ahead")
    assert list(tmp_path.iterdir()) == []


def test_the_main_job_finds_the_model_of_its_last_run(tmp_path: Path) -> None:
    first, second = (_run("examples.main_job", tmp_path, "--once", PORT=_free_port()) for _ in range(2))
    assert "R²" in first
    assert "1 trained so far" in first
    assert "2 trained so far" in second
    assert (tmp_path / "data" / "diabetes.db").exists()


def _run(module: str, folder: Path, *arguments: str, **environment: str) -> str:
    # UTF-8 whatever the machine says, because the job prints a superscript.
    values = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **environment}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=folder, env=values, capture_output=True, encoding="utf-8", timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(200)
def test_the_ledger_of_the_demonstration_balances() -> None:
    command = [sys.executable, "-m", "examples.demo_kill", "--seconds", "3", "--jobs", "24"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 accepted, 24 completed, 24 results" in done.stdout

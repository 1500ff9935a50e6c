import shutil
import subprocess

import pytest

from tests.architecture.source_tree import ROOT

# Put together here, so that this file does not find itself.
PRIVATE = tuple(f"/{folder}/" for folder in ("work", "root", "tmp/bash_jobs"))


@pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="only a clone knows its tracked files"
)
def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    # A clone that another user made is still ours to read.
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    found = [name for name in names if name and (ROOT / name).is_file() and _names_a_private_path(name)]
    assert found == []


def _names_a_private_path(name: str) -> bool:
    content = (ROOT / name).read_bytes()
    return any(path.encode() in content for path in PRIVATE)

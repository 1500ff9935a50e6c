from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, where the databases of the examples then lie."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

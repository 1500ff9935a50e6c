from pathlib import Path

import pytest

from tests.faults.fleet import Fleet
from tests.faults.writers import contend, folder_url

SECONDS = 5.0


@pytest.mark.timeout(200)
def test_four_hundred_writers_on_one_file_never_hear_that_it_is_locked(tmp_path: Path) -> None:
    with Fleet(folder_url(tmp_path), tmp_path) as fleet:
        acknowledged, rows, problems = contend(fleet, SECONDS)
    print(f"{rows} rows, {rows / SECONDS:.0f} a second")
    assert problems == []
    assert rows == acknowledged > 0

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
_blocks = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if _blocks.search(page.read_text())], ids=lambda page: page.name
)
def test_every_block_of_python_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The blocks of a page belong together; as a module, so that their classes can be found again by name.
    module = ModuleType(f"docs_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in _blocks.findall(page.read_text()):
        exec(compile(block, str(page), "exec"), module.__dict__)

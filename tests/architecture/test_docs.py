import ast
import re
from pathlib import Path

import pytest

import chapkit
import chapkit.api
from chapkit.api import ServiceBuilder
from chapkit.core.errors import ChapkitError
from chapkit.web.problems import KINDS
from tests.architecture.source_tree import ROOT, parsed

PAGES = sorted((ROOT / "docs").glob("*.md"))
LINKING = [ROOT / "README.md", *PAGES, *sorted((ROOT / "designs").glob("*.md"))]
CODE_MEMBERS = ("code", "error_code")
_words = re.compile(r"[\w-]+").findall
_links = re.compile(r"\]\(([^)\s]+)\)").findall
_blocks = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_heading = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def documented() -> set[str]:
    return {word for page in PAGES for word in _words(page.read_text(encoding="utf-8"))}


def test_every_call_of_the_builder_is_documented(documented: set[str]) -> None:
    calls = {
        name for name in dir(ServiceBuilder) if not name.startswith("_") and callable(getattr(ServiceBuilder, name))
    }
    assert calls - documented == set()


def test_every_public_name_is_documented(documented: set[str]) -> None:
    assert {*chapkit.__all__, *chapkit.api.__all__} - documented == set()


def test_every_error_code_is_documented(documented: set[str]) -> None:
    assert {*_codes(), *KINDS, *_kinds(ChapkitError)} - documented == set()


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = _blocks.sub("", page.read_text(encoding="utf-8"))
    assert [link for link in _links(text) if not _leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "index.md"], ids=lambda page: page.name)
def test_every_page_is_in_the_index(page: Path) -> None:
    assert page.name in _links((ROOT / "docs" / "index.md").read_text(encoding="utf-8"))


def _leads_somewhere(page: Path, link: str) -> bool:
    if "://" in link or link.startswith("mailto:"):
        return True
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    headings = _heading.findall(_blocks.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _codes() -> set[str]:
    """Return the codes that stand in calls, and those in constants whose name stands there."""
    found: set[str] = set()
    for _, tree in parsed():
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in CODE_MEMBERS:
                texts = [item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant)]
                texts += [constants.get(item.id) for item in ast.walk(node.value) if isinstance(item, ast.Name)]
                found.update(text for text in texts if isinstance(text, str) and "-" in text and not text.endswith("-"))
    return found


def _kinds(kind: type[ChapkitError]) -> set[str]:
    return {kind.kind}.union(*map(_kinds, kind.__subclasses__()))

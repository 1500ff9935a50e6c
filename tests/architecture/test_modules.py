import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import module_name, name_of, parsed, source_files

MODULE_LINES = 300
FUNCTION_LINES = 40
VAGUE_NAMES = {"common", "helper", "helpers", "misc", "util", "utilities", "utils"}
REVISIONS = "src/chapkit/migrations/versions/"

CONTAINERS = {
    "Counter",
    "OrderedDict",
    "WeakKeyDictionary",
    "WeakSet",
    "WeakValueDictionary",
    "bytearray",
    "defaultdict",
    "deque",
    "dict",
    "list",
    "set",
}
LITERALS = (ast.Dict, ast.DictComp, ast.List, ast.ListComp, ast.Set, ast.SetComp)
WRITING_METHODS = {
    "add",
    "append",
    "clear",
    "discard",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "setdefault",
    "update",
}


def test_no_module_is_longer_than_its_limit() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in source_files()}
    assert {name: length for name, length in lengths.items() if length > MODULE_LINES} == {}


def test_no_function_is_longer_than_its_limit() -> None:
    # A revision of the database lists columns; splitting the list would not make it clearer.
    modules = [(name, tree) for name, tree in parsed() if not name.startswith(REVISIONS)]
    lengths = {
        f"{name}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for name, tree in modules
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES} == {}


def test_no_module_has_a_vague_name() -> None:
    vague = [name_of(path) for path in source_files() if VAGUE_NAMES & set(module_name(path).split("."))]
    assert vague == []


def test_no_function_changes_a_global_name() -> None:
    assert [name for name, tree in parsed() if any(isinstance(node, ast.Global) for node in ast.walk(tree))] == []


def test_no_module_postpones_its_annotations() -> None:
    modules = [
        name
        for name, tree in parsed()
        if any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    ]
    assert modules == []


def test_no_module_holds_state() -> None:
    assert [f"{name}: {problem}" for name, tree in parsed() for problem in _state_of(tree)] == []


@pytest.mark.parametrize(
    "text",
    [
        "SEEN = {}",
        "SEEN: list[str] = []",
        "SEEN = set()",
        "SEEN = defaultdict(list)",
        "seen = {'a': 1}",
        "SEEN = {'a': 1}\ndef note(key): SEEN[key] = 1",
        "SEEN = ['a']\ndef note(key): SEEN.append(key)",
        "SEEN = ['a']\ndef forget(): del SEEN[0]",
    ],
)
def test_state_in_a_module_is_found(text: str) -> None:
    assert list(_state_of(ast.parse(text))) != []


@pytest.mark.parametrize("text", ["CODES = {'a': 1}", "__all__ = ['a']", "_NAMES: dict[str, int] = {'a': 1}", "A = ()"])
def test_a_table_of_constants_is_no_state(text: str) -> None:
    assert list(_state_of(ast.parse(text))) == []


def _state_of(tree: ast.Module) -> Iterator[str]:
    tables: set[str] = set()
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        if isinstance(value, LITERALS):
            tables.add(name)
            if _is_empty(value) or not (name.isupper() or name == "__all__"):
                yield f"{name} is made to be filled"
        elif isinstance(value, ast.Call) and _called_name(value) in CONTAINERS and not value.args:
            yield f"{name} is made to be filled"
        elif isinstance(value, ast.Call) and _called_name(value) in CONTAINERS:
            tables.add(name)
            if _called_name(value) not in {"dict", "list", "set"}:
                yield f"{name} is made to be filled"
    yield from (f"{name} is written to" for name in sorted(tables & set(_written_names(tree))))


def _is_empty(value: ast.expr) -> bool:
    return ast.unparse(value) in {"[]", "{}"}


def _called_name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _written_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in WRITING_METHODS:
                yield name
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name

import ast
import importlib.util
import itertools
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chapkit.task.fingerprint import FunctionSource, code_version
from chapkit.task.registry import Registry

BASE = '''
def train(config, data: list[int], *, rate=0.5, **options):
    """Train a model.

    At length.
    """
    total = 0  # a sum
    for index, item in enumerate(data):
        if item > rate and index % 2 == 0:
            total += item * 3
        elif item < -rate:
            total -= abs(item)
    names = {"a": [1, 2, 3], "b": (True, None)}
    text = f"{total:>{len(names)}} of {rate!r}"

    def inner(value: int = 4) -> int:
        """Inside."""
        return value ** 2 if value else -1

    class Box:
        """A box."""

        size: int = 3

    with open(text) as file:
        return [inner(each) for each in data if each not in names], lambda: file.read(5), Box
'''
_numbers = itertools.count()


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Return what makes a module of a text and returns its names."""
    folder = tmp_path_factory.mktemp("sources")

    def make(text: str) -> dict[str, Any]:
        name = f"fingerprint_{next(_numbers)}"
        path = folder / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return vars(module)

    return make


def _version(load: Callable[[str], dict[str, Any]], text: str, name: str = "train") -> str:
    return code_version(load(text)[name])


Load = Callable[[str], dict[str, Any]]


def test_the_version_is_the_same_on_every_release_of_python(load: Load) -> None:
    # Noted on jobs and results, so that a new interpreter must not make them old.
    assert _version(load, BASE) == "88e87c12201a2656"


def test_a_version_is_short_and_the_same_each_time(load: Load) -> None:
    version = _version(load, BASE)
    assert len(version) == 16
    assert int(version, 16) >= 0
    assert _version(load, BASE) == version


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("# a sum", "# another comment"),
        lambda text: text.replace("  # a sum", ""),
        lambda text: text.replace("Train a model.", "Train another model."),
        lambda text: text.replace('        """Inside."""\n', ""),
        lambda text: text.replace('        """A box."""\n\n', ""),
        lambda text: f"import os\n\n\n{text}\n\nX = 1\n",
        lambda text: text.replace("    total = 0", "\n\n    total  =  0 ;"),
        lambda text: text.replace("[1, 2, 3]", "[\n        1,\n        2,  # two\n        3,\n    ]"),
        lambda text: text.replace('"a"', "'a'").replace("(True, None)", "(True, None,)"),
        lambda text: text.replace("item * 3", "(item * 3)"),
        lambda text: text.replace("0.5", "5e-1"),
        lambda text: text.replace("**options):", "**options) -> object:"),
        lambda text: text.replace(" -> int:", ":"),
        lambda text: text.replace("total = 0", "total: int = 0"),
        lambda text: text.replace("    ", "  "),
        lambda text: text.replace("    ", "\t"),
        lambda text: ast.unparse(ast.parse(text)),
        lambda text: text.replace('"a": [1', '"a" "": [1'),
    ],
)
def test_how_it_is_written_does_not_count(load: Load, change: Callable[[str], str]) -> None:
    assert change(BASE) != BASE
    assert _version(load, change(BASE)) == _version(load, BASE)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_comments_and_empty_lines_anywhere_do_not_count(load: Load, seed: int) -> None:
    chance = random.Random(seed)
    lines: list[str] = []
    in_docstring = False
    for line in BASE.splitlines():
        in_docstring ^= line.count('"""') == 1
        free = not in_docstring and '"""' not in line
        if free and chance.random() < 0.4:
            lines += [" " * chance.randrange(9) + f"# {chance.random()}", ""][: chance.randrange(3)]
        lines.append(
            line + (f"{' ' * chance.randrange(1, 5)}# {chance.random()}" if free and chance.random() < 0.4 else "")
        )
    assert _version(load, "\n".join(lines) + "\n") == _version(load, BASE)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 10**6))
def test_any_changed_expression_counts(load: Load, number: int) -> None:
    tree = ast.parse(BASE)
    function = tree.body[0]
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and isinstance(node.body[0], ast.Expr)
    }
    unread = {
        id(node)
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.returns
        for node in ast.walk(each.returns)
    }
    nodes = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Constant | ast.Name | ast.Compare | ast.BinOp | ast.arg)
        and id(node) not in docstrings | unread
    ]
    node = nodes[number % len(nodes)]
    match node:
        case ast.Constant(value=str(text)):
            node.value = f"{text}~"
        case ast.Constant(value=value):
            node.value = (value or 0) + 7
        case ast.Name(id=name):
            node.id = f"{name}_"
        case ast.arg(arg=name):
            node.arg = f"{name}_"
        case ast.Compare():
            node.ops = [ast.Is() if isinstance(node.ops[0], ast.NotEq) else ast.NotEq()]
        case ast.BinOp():
            node.op = ast.LShift()
    changed = ast.unparse(tree)
    assert _parsed_version(changed) != _parsed_version(BASE)


def _parsed_version(text: str) -> str:
    # Not every changed text could be run, so the function is not made.
    source = FunctionSource([f"{line}\n" for line in text.strip("\n").splitlines()], 1)

    def train() -> None: ...

    return code_version(train, source=source)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def f(): return 1", "async def f(): return 1"),
        ("def f(): return 1", "def f(): return True"),
        ("def f(): return 1", "def f(): return 1.0"),
        ("def f(): return 1", "def f(): return '1'"),
        ("def f(): return b'1'", "def f(): return '1'"),
        ("def f(): return None", "def f(): return"),
        ("def f(): return ...", "def f(): return None"),
        ("def f(a): ...", "def f(a=None): ..."),
        ("def f(a): ...", "def f(*, a): ..."),
        ("def f(a, /): ...", "def f(a): ..."),
        ("def f(a): ...", "def f(a: int): ..."),
        ("def f(a: int): ...", "def f(a: str): ..."),
        ("def f(a):\n    a: int", "def f(a):\n    b: int"),
        ("def f():\n    class A:\n        x: int = 1", "def f():\n    class A:\n        x: str = 1"),
        ("def f(): return {**a}", "def f(): return {a: 1}"),
        ("def f(): return x[1:]", "def f(): return x[:1]"),
        ("def f(): return 'a' + 'b'", "def f(): return 'b' + 'a'"),
    ],
)
def test_these_are_different(before: str, after: str) -> None:
    versions = [_text_version(text) for text in (before, after)]
    assert versions[0] != versions[1]


def _text_version(text: str) -> str:
    def f() -> None: ...

    return code_version(f, source=FunctionSource([f"{line}\n" for line in text.splitlines()], 1))


def test_a_declared_version_counts(load: Load) -> None:
    train = load(BASE)["train"]
    assert len({code_version(train, version) for version in (None, "", "1", "2", "None")}) == 5


def test_options_of_a_registration_do_not_count_but_other_decorators_do(load: Load) -> None:
    texts = [
        "def f(): return 1\n",
        "@registry.register('x')\ndef f(): return 1\n",
        "@registry.register('y', tags=['a'])\ndef f(): return 1\n",
        "@twice(1)\ndef f(): return 1\n",
        "@twice(2)\ndef f(): return 1\n",
        "@registry.register('y')\n@twice(2)\ndef f(): return 1\n",
    ]
    head = (
        "from functools import wraps\nfrom chapkit.task.registry import Registry\nregistry = Registry()\n"
        "def twice(n):\n    def decorate(f):\n        @wraps(f)\n        def g(): return f()\n        return g\n"
        "    return decorate\n"
    )
    versions = [_version(load, head + text, "f") for text in texts]
    assert versions[0] == versions[1] == versions[2]
    assert versions[4] == versions[5]
    assert len(set(versions)) == 3


def test_what_is_inside_of_decorators_partials_and_methods_counts() -> None:
    def work(a: int, b: int = 0) -> int:
        return a + b

    @wraps(work)
    def wrapped(*args: Any) -> int:
        return work(*args)

    class Worker:
        def work(self) -> int:
            return 1

        def __call__(self) -> int:
            return 2

    plain = code_version(work)
    assert code_version(wrapped) == plain
    assert code_version(partial(work, 1)) == code_version(partial(work, 1))
    bound = [partial(work, 1), partial(work, 2), partial(work, b=1), partial(work, b=[1]), partial(work, b=(1, {2, 3}))]
    assert len({plain, *map(code_version, bound)}) == 6
    # The address of an object must not count.
    assert code_version(partial(work, object())) == code_version(partial(work, object()))
    assert code_version(Worker().work) == code_version(Worker.work)
    assert code_version(Worker()) != code_version(Worker().work)
    assert len(code_version(Worker())) == 16


def test_strings_of_several_lines_keep_their_indentation(load: Load) -> None:
    text = "class A:\n    def f(self):\n        return '''\nat the left\n  {}\n'''\n"
    versions = {code_version(load(text.format(value))["A"].f) for value in ("a", "a", "b")}
    assert len(versions) == 2
    assert all(":" not in version for version in versions)


def test_an_only_lambda_of_a_statement_has_its_source() -> None:
    one: Any = lambda a: a + 1  # noqa: E731
    two: Any = lambda a: a + 2  # noqa: E731
    same: Any = lambda a: a + 1  # noqa: E731
    assert code_version(one) == code_version(same) != code_version(two)
    assert len(code_version(one)) == 16


def test_lambdas_that_share_a_statement_are_told_apart_by_their_bytecode() -> None:
    one, two = (lambda a: a + 1), (lambda a: a + 2)
    assert code_version(one).startswith("bytecode:")
    assert code_version(one) != code_version(two)


def test_a_function_without_source_has_the_version_of_its_bytecode() -> None:
    def make(text: str) -> Any:
        names: dict[str, Any] = {}
        exec(text, names)
        return names["f"]

    first = make("def f(a):\n    'Say something.'\n    return [a + 1 for _ in 'x']")
    assert code_version(first).startswith("bytecode:")
    assert code_version(first) == code_version(make("def f(a):  # said\n    'Else.'\n    return [a + 1 for _ in 'x']"))
    assert code_version(first) != code_version(make("def f(a):\n    'Say.'\n    return [a + 2 for _ in 'x']"))
    assert code_version(first) != code_version(first, "2")


def test_a_function_without_code_has_the_version_of_its_name() -> None:
    assert code_version(len).startswith("name:")
    assert code_version(len) == code_version(len) != code_version(max)


def test_the_version_is_that_of_the_code_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "service_of_yesterday.py"
    path.write_text("def f():\n    return 1\n")
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    registry = Registry()
    registry.register_function("f", names["f"])
    expected = code_version(names["f"])
    # Somebody deploys while the service runs.
    path.write_text("def f():\n    return 2222\n")
    assert registry.snapshot().get("f").code_version == expected
    assert code_version(names["f"]) != expected


def test_a_file_that_says_something_else_by_now_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "moved.py"
    path.write_text("def f():\n    return 1\n")
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    path.write_text("def g():\n    return 1\n# and more\n")
    assert code_version(names["f"]).startswith("bytecode:")
    path.write_text("")
    assert code_version(names["f"]).startswith("bytecode:")
    path.write_text("    )( no python\n    \n")
    assert code_version(names["f"]).startswith("bytecode:")


def test_another_process_finds_the_same_version(tmp_path: Path) -> None:
    path = tmp_path / "worker_module.py"
    path.write_text(BASE)
    program = "import worker_module as w, chapkit.task.fingerprint as f; print(f.code_version(w.train))"
    versions = set()
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        versions.add(ran.stdout.strip())
    assert len(versions) == 1
    assert versions == {_parsed_version(BASE)}

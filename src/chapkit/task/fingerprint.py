"""The version of a function: a hash of its normalised source.

What counts is the function itself, as a syntax tree: no comments, docstrings, formatting or line numbers, no return
annotations and none of local variables. Annotations and defaults of parameters count, because they say how a call is
understood; so do decorators, except those that only register the function. What the function calls does not count: say
`version=` where that changes. The same source has the same version on every release of Python.

A function without source has a version of another form: `bytecode:...`, which changes with the release of Python, or
`name:...` where there is only a name, as in a library written in C.
"""

import ast
import hashlib
import inspect
import linecache
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import CodeType
from typing import Any, TypeAlias, cast

from chapkit.task.signatures import Function, innermost, label_of

_DIGEST_BYTES = 8
_REGISTERING = frozenset({"register", "train", "predict"})
_SILENT_FIELDS = frozenset({"ctx", "kind", "type_comment", "simple"})
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def code_version(function: Function, version: str | None = None, source: "FunctionSource | None" = None) -> str:
    """Return the version of a function; it changes whenever the function, or what `version` declares, does.

    Args:
        function: Anything that can be called.
        version: What its author declares.
        source: Its source as it was when the function was defined; read now, if not given.
    """
    target = innermost(function)
    marker, described = _describe_function(target, source or FunctionSource.of(function))
    parts = [described, *_bound_values(function), f"version={version!a}"]
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return marker + digest


@dataclass(frozen=True)
class FunctionSource:
    """The file of a function as it was when the function was defined; the file may be another one later."""

    lines: Sequence[str]
    first: int
    """Number of the function's first line, counted from 1."""

    @classmethod
    def of(cls, function: Function) -> "FunctionSource | None":
        """Return the source as far as there is one; the text of a file is read once for all of its functions."""
        target = innermost(function)
        code: CodeType | None = getattr(target, "__code__", None)
        if code is None:
            return None
        linecache.checkcache(code.co_filename)
        lines = linecache.getlines(code.co_filename, getattr(target, "__globals__", None))
        return cls(lines, code.co_firstlineno) if 0 < code.co_firstlineno <= len(lines) else None

    def find(self, name: str) -> _Definition | None:
        """Return the syntax tree of the function, unless it cannot be told from another one."""
        text = "".join(inspect.getblock(self.lines[self.first - 1 :]))
        if text[:1].isspace():
            # Dedenting would change the text in strings of several lines.
            text = f"if True:\n{text}"
        try:
            with warnings.catch_warnings():
                # Python has told of them when it read the module.
                warnings.simplefilter("ignore")
                nodes = list(ast.walk(ast.parse(text)))
        except (SyntaxError, ValueError):
            return None
        wanted = ast.Lambda if name == "<lambda>" else ast.FunctionDef | ast.AsyncFunctionDef
        found: list[_Definition] = [node for node in nodes if isinstance(node, wanted)]
        if name == "<lambda>":
            return found[0] if len(found) == 1 else None
        return found[0] if found and getattr(found[0], "name", "") == name else None


def _describe_function(target: Any, source: FunctionSource | None) -> tuple[str, str]:
    code: CodeType | None = getattr(target, "__code__", None)
    if code is None:
        return "name:", label_of(target)
    definition = None if source is None else source.find(code.co_name)
    if definition is not None:
        return "", "".join(_describe(definition, False))
    return "bytecode:", repr(_describe_code(code, getattr(target, "__doc__", None)))


def _describe(node: Any, in_class: bool) -> Iterator[str]:
    """Return the parts of a text that is the same for all ways to write the same.

    Absent and empty fields are left out: releases of Python differ in which of them they have.
    """
    if isinstance(node, list):
        yield "["
        for item in node:  # pyright: ignore[reportUnknownVariableType]
            yield from _describe(item, in_class)
            yield ","
        yield "]"
    elif isinstance(node, ast.AST):
        yield f"{_kind_of(node, in_class)}("
        is_class = isinstance(node, ast.ClassDef) or (in_class and not isinstance(node, _Definition))
        for name, value in _fields(node, in_class):
            yield f"{name}="
            yield from _describe(value, is_class)
        yield ")"
    else:
        yield f"{type(node).__name__}:{node!a}"


def _kind_of(node: ast.AST, in_class: bool) -> str:
    return "Assign" if isinstance(node, ast.AnnAssign) and not in_class else type(node).__name__


def _fields(node: ast.AST, in_class: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(node, ast.AnnAssign) and not in_class:
        # Nobody looks at the annotations of local variables.
        yield "targets", [node.target]
        yield from [("value", node.value)] if node.value is not None else []
        return
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for name, value in ast.iter_fields(node):
        if name in _SILENT_FIELDS or (is_function and name == "returns"):
            continue
        if name == "decorator_list":
            kept: Any = [item for item in value if not _registers(item)]
        elif name == "values" and isinstance(node, ast.JoinedStr):
            # Some releases put an empty text at the end of a format.
            kept = [item for item in value if not (isinstance(item, ast.Constant) and item.value == "")]
        elif name == "body" and (is_function or isinstance(node, ast.ClassDef)) and _is_docstring(value[0]):
            kept = value[1:]
        else:
            kept = value
        if kept is not None and kept != []:
            yield name, kept


def _registers(decorator: ast.expr) -> bool:
    """Tell whether a decorator only makes the function known; which options it has there is no matter of its code."""
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(call).rpartition(".")[2] in _REGISTERING


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _describe_code(code: CodeType, docstring: str | None) -> tuple[Any, ...]:
    constants = [
        _describe_code(each, None) if isinstance(each, CodeType) else _stable(each)
        for each in code.co_consts
        if docstring is None or each != docstring
    ]
    return (code.co_code, code.co_names, code.co_varnames, code.co_flags, constants)


def _bound_values(function: Any) -> Iterator[str]:
    """Return what partials have given already; objects count by their type, as their texts may name an address."""
    while isinstance(function, partial):
        yield _stable(function.args)
        yield _stable(dict(sorted(function.keywords.items())))
        function = function.func


def _stable(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__}:{value!a}"
    if isinstance(value, dict):
        return _joined(f"{_stable(key)}={_stable(item)}" for key, item in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, set | frozenset):
        return _joined(sorted(map(_stable, cast("Iterable[Any]", value))))
    if isinstance(value, list | tuple):
        return _joined(map(_stable, cast("Iterable[Any]", value)))
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _joined(parts: Iterable[str]) -> str:
    return f"({','.join(parts)})"

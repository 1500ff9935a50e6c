"""Ordinary Python objects as bytes: pickle, read back only where this service signed it."""

import importlib
import importlib.util
import io
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from chapkit.core.errors import ChapkitError, UnprocessableError

MODEL_MEDIA_TYPE = "application/vnd.chapkit.model+pickle"
_PROTOCOL = 5
_MAIN = frozenset({"__main__", "__mp_main__"})


def dump_model(value: object) -> bytes:
    """Return the object as bytes.

    Raises:
        UnprocessableError: It cannot be stored (`model-not-storable`), or its class belongs to the
            script that was started and can be found under no other name (`model-class-in-main`).
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, _PROTOCOL).dump(value)
    except ChapkitError:
        raise
    except Exception as error:
        # Whatever the object's own methods raise: the answer is the same.
        raise UnprocessableError(
            f"A {_name_of(value)} cannot be stored: {error}. Everything in a model must be picklable: "
            "no lambdas, no classes defined inside of a function, no open files, locks or connections",
            code="model-not-storable",
            found=_name_of(value),
        ) from error
    return buffer.getvalue()


def load_model(content: bytes) -> Any:
    """Return the object; the caller has verified the signature.

    Raises:
        UnprocessableError: The code that the object needs is not there any more (`model-not-loadable`).
    """
    try:
        return pickle.loads(content)
    except Exception as error:
        # The bytes are the ones that were written, so what is missing is code.
        raise UnprocessableError(
            f"The model cannot be loaded: {error}. Its classes must be importable as they were when it was stored",
            code="model-not-loadable",
            found=type(error).__name__,
        ) from error


def load_from_main(module: str, qualname: str) -> Any:
    """Return a class or function of `module`, which is the running script itself if that has this name."""
    for main in _main_modules():
        if module in _names_of(main):
            return _member(main, qualname)
    return _member(importlib.import_module(module), qualname)


class _Pickler(pickle.Pickler):
    """Stores what belongs to the started script under the name by which it can be imported."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ in _MAIN and "<" not in obj.__qualname__:
            return load_from_main, (_importable_name(obj), obj.__qualname__)
        return NotImplemented


def _importable_name(thing: Callable[..., Any]) -> str:
    main = sys.modules.get(thing.__module__)
    name = next(_names_of(main), None) if main is not None else None
    if name is None:
        raise UnprocessableError(
            f"{thing.__qualname__} is defined in the script that was started, under no name by which it can be "
            "imported later; move it into a module of its own and import it from there",
            code="model-class-in-main",
            found=thing.__qualname__,
        )
    return name


def _names_of(main: ModuleType) -> Iterator[str]:
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        yield spec.name
        return
    file = getattr(main, "__file__", None)
    if file is None:
        return
    path = Path(file).resolve()
    for entry in sys.path:
        root = Path(entry or ".").resolve()
        if not path.is_relative_to(root):
            continue
        parts = path.relative_to(root).with_suffix("").parts
        if all(part.isidentifier() for part in parts) and _leads_to(".".join(parts), path):
            yield ".".join(parts)


def _leads_to(name: str, path: Path) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path


def _main_modules() -> Iterable[ModuleType]:
    found = (sys.modules.get(name) for name in sorted(_MAIN))
    return [module for module in found if module is not None]


def _member(module: ModuleType, qualname: str) -> Any:
    thing: Any = module
    for part in qualname.split("."):
        thing = getattr(thing, part)
    return thing


def _name_of(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

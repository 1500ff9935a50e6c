"""Frames as the type that a function asks for, and back."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from chapkit.core.errors import ConfigurationError, UnprocessableError
from chapkit.data.decode import frame_of
from chapkit.data.encode import encode_frame, frame_kind, is_records, type_name
from chapkit.data.frame import DataFrame

FrameT = TypeVar("FrameT")

_FROM_FRAME: Final[Mapping[str, Callable[[DataFrame], Any]]] = types.MappingProxyType(
    {
        "pandas.DataFrame": DataFrame.to_pandas,
        "pyarrow.Table": DataFrame.to_arrow,
        "polars.DataFrame": DataFrame.to_polars,
    }
)
_UNSAID: Final = (inspect.Parameter.empty, None, Any)


class FrameConverters:
    """The types that a service hands frames over as; a service owns its own."""

    def __init__(self) -> None:
        self._from_frame: dict[type[Any], Callable[[DataFrame], Any]] = {}
        self._to_frame: dict[type[Any], Callable[[Any], Any]] = {}

    def register(
        self, kind: type[FrameT], from_frame: Callable[[DataFrame], FrameT], to_frame: Callable[[FrameT], Any]
    ) -> None:
        """Add a type.

        Args:
            kind: The class that functions name in an annotation.
            from_frame: Makes one of a frame.
            to_frame: Makes a frame of one: of any kind that `encode_frame` takes.
        """
        self._from_frame[kind] = from_frame
        self._to_frame[kind] = to_frame

    def check(self, annotation: Any) -> None:
        """Refuse an annotation that no frame can be converted to.

        Raises:
            ConfigurationError: `frame-type-unknown`; `expected` names the types that are known.
        """
        self._find(annotation)

    def to(self, annotation: Any, frame: DataFrame) -> Any:
        """Return the frame as the type of an annotation; without one it is a pandas frame."""
        return self._find(annotation)(frame)

    def from_value(self, value: Any) -> bytes:
        """Return the encoded frame of what a function returned.

        Raises:
            UnprocessableError: `prediction-not-a-frame`, or what `encode_frame` raises.
        """
        given: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
        for kind in given.__mro__:
            if kind in self._to_frame:
                return encode_frame(self._to_frame[kind](value))
        if isinstance(value, DataFrame) or frame_kind(value) is not None or (is_records(value) and value):
            return encode_frame(value)
        if isinstance(value, Mapping) and "columns" in value and "data" in value:
            return encode_frame(frame_of(dict(value)))  # pyright: ignore[reportUnknownArgumentType]
        found = f"{given.__module__}.{given.__qualname__}".removeprefix("builtins.")
        raise UnprocessableError(
            f"a frame must be returned ({', '.join(self.names())}, a list of records); found {found}",
            code="prediction-not-a-frame",
            expected=self.names(),
            found=found,
        )

    def names(self) -> list[str]:
        """Return the names of the types that are known."""
        own = [f"{kind.__module__}.{kind.__qualname__}" for kind in self._from_frame]
        return ["pandas.DataFrame", "chapkit.data.DataFrame", "pyarrow.Table", "polars.DataFrame", *own]

    def _find(self, annotation: Any) -> Callable[[DataFrame], Any]:
        wanted = _class_of(annotation)
        if isinstance(wanted, type) and wanted in self._from_frame:
            return self._from_frame[wanted]
        if any(wanted is unsaid for unsaid in _UNSAID):
            return DataFrame.to_pandas
        if wanted is DataFrame:
            return _same
        known = _FROM_FRAME.get(type_name(wanted)) if isinstance(wanted, type) else None
        if known is None:
            name = wanted if isinstance(wanted, str) else getattr(wanted, "__qualname__", repr(wanted))
            raise ConfigurationError(
                f"a frame cannot be handed over as '{name}'; known are: {', '.join(self.names())}",
                code="frame-type-unknown",
                expected=self.names(),
                found=str(name),
            )
        return known


def default_converters() -> FrameConverters:
    """Return converters of a service of its own: pandas, `DataFrame`, Arrow and Polars are known to each."""
    return FrameConverters()


def _class_of(annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _class_of(typing.get_args(annotation)[0])
    if origin is typing.Union or origin is types.UnionType:
        rest = [part for part in typing.get_args(annotation) if part is not type(None)]
        return _class_of(rest[0]) if len(rest) == 1 else annotation
    return annotation


def _same(frame: DataFrame) -> DataFrame:
    return frame

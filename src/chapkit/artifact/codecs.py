"""Values as bytes and back, by media type."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pydantic_core import to_json

from chapkit.artifact.json_codec import carries, decode_json, encode_json, is_builtin, require_json
from chapkit.artifact.model_codec import MODEL_MEDIA_TYPE, dump_model
from chapkit.core.errors import ChapkitError, UnprocessableError
from chapkit.core.types import describe_value
from chapkit.data.fields import FRAME_MEDIA_TYPE, FRAME_MEDIA_TYPES

JSON_MEDIA_TYPE = "application/json"
TEXT_MEDIA_TYPE = "text/plain; charset=utf-8"
BYTES_MEDIA_TYPE = "application/octet-stream"
_PREVIEWED_BYTES = 48


@dataclass(frozen=True)
class Encoded:
    """A value as bytes."""

    media_type: str
    content: bytes
    described: dict[str, Any] | None = None
    """What stands on the wire in place of a content that JSON cannot carry."""


class Codec(Protocol):
    """Turns values into the bytes of a media type, and back."""

    def reads(self, media_type: str) -> bool:
        """Tell whether contents of this type are its own."""
        ...

    def encode(self, value: Any, media_type: str) -> Encoded:
        """Return the value as bytes; bytes are taken to be the content itself."""
        ...

    def decode(self, content: bytes) -> Any:
        """Return the value."""
        ...


class FrameCodec:
    """Frames, as the JSON that stands on the wire."""

    def reads(self, media_type: str) -> bool:
        """Tell whether it is a frame's type, of today or of older services."""
        return base_type(media_type) in FRAME_MEDIA_TYPES

    def encode(self, value: Any, media_type: str = FRAME_MEDIA_TYPE) -> Encoded:
        """Return a frame, a list of records or an object of `columns` and `data` as bytes."""
        # Lazy: services without frames need none of it.
        from chapkit.data.checks import check_names, check_rows
        from chapkit.data.decode import decode_rows, frame_of
        from chapkit.data.encode import encode_frame

        if isinstance(value, bytes):
            frame = decode_rows(value)
            check_names(frame.columns)
            check_rows(frame.columns, frame.data)
            return Encoded(FRAME_MEDIA_TYPE, value)
        return Encoded(FRAME_MEDIA_TYPE, encode_frame(frame_of(value) if isinstance(value, dict) else value))

    def decode(self, content: bytes) -> Any:
        """Return the pandas frame, with the types that it had."""
        # Lazy: pandas takes longer to import than most services take to start.
        from chapkit.data.decode import decode_frame

        return decode_frame(content)


class JsonCodec:
    """JSON, also that of the more special types that end in `+json`."""

    def reads(self, media_type: str) -> bool:
        """Tell whether it is a type of JSON."""
        base = base_type(media_type)
        return base == JSON_MEDIA_TYPE or base.endswith("+json")

    def encode(self, value: Any, media_type: str = JSON_MEDIA_TYPE) -> Encoded:
        """Return the value as JSON."""
        if isinstance(value, bytes):
            require_json(value)
            return Encoded(media_type, value)
        return Encoded(media_type, encode_json(value))

    def decode(self, content: bytes) -> Any:
        """Return the value."""
        return decode_json(content)


class TextCodec:
    """Text in UTF-8."""

    def reads(self, media_type: str) -> bool:
        """Tell whether it is a type of text."""
        return base_type(media_type).startswith("text/")

    def encode(self, value: Any, media_type: str = TEXT_MEDIA_TYPE) -> Encoded:
        """Return the text as bytes."""
        try:
            content = value.decode() if isinstance(value, bytes) else value
            if not isinstance(content, str):
                raise _mismatch(media_type, "text", content)
            return Encoded(media_type, content.encode())
        except UnicodeError as error:
            raise UnprocessableError(
                f"The content is no text in UTF-8: {error.reason if isinstance(error, UnicodeDecodeError) else error}",
                code="text-not-utf8",
                field="content",
            ) from error

    def decode(self, content: bytes) -> str:
        """Return the text."""
        return content.decode()


class BytesCodec:
    """Bytes of any other type, as they are."""

    def reads(self, media_type: str) -> bool:
        """Tell whether the type is one of ordinary contents; that of models is reserved."""
        return base_type(media_type) != MODEL_MEDIA_TYPE

    def encode(self, value: Any, media_type: str = BYTES_MEDIA_TYPE) -> Encoded:
        """Return the bytes."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise _mismatch(media_type, "bytes", value)
        content = bytes(cast("bytes", value))
        described: dict[str, Any] = describe_value(content[:_PREVIEWED_BYTES])
        return Encoded(media_type, content, {**described, "size": len(content)})

    def decode(self, content: bytes) -> bytes:
        """Return the bytes."""
        return content


class Codecs:
    """The codecs that a service knows, the most special first."""

    def __init__(self, codecs: Sequence[Codec] | None = None) -> None:
        self._codecs = codecs or (FrameCodec(), JsonCodec(), TextCodec(), BytesCodec())

    def encode(self, value: Any, media_type: str | None = None) -> Encoded:
        """Return the value as bytes of the media type, or of the type that suits it best.

        Raises:
            UnprocessableError: It does not fit the type (`media-type-mismatch`), or holds what cannot be stored.
        """
        if media_type is not None:
            return self._codec(media_type).encode(value, media_type)
        if isinstance(value, bytes | bytearray | memoryview):
            return BytesCodec().encode(value)
        if not is_builtin(value) and is_frame(value):
            return FrameCodec().encode(value)
        return JsonCodec().encode(value) if carries(value) else encode_model(value)

    def decode(self, content: bytes, media_type: str) -> Any:
        """Return the value; never of a model, which needs its signature."""
        return self._codec(media_type).decode(content)

    def _codec(self, media_type: str) -> Codec:
        for codec in self._codecs:
            if codec.reads(media_type):
                return codec
        raise UnprocessableError(
            f"Contents of the type {media_type!r} cannot be sent; they are made by this service only",
            code="media-type-reserved",
            field="content_type",
            found=media_type,
        )


def encode_model(value: object) -> Encoded:
    """Return any object as bytes that are read back only with this service's signature."""
    return Encoded(MODEL_MEDIA_TYPE, dump_model(value), dict(_describe(value)))


def is_frame(value: object) -> bool:
    """Tell whether the value is a frame, without importing what frames are made of."""
    # Lazy: services without frames need none of it.
    from chapkit.data.encode import frame_kind
    from chapkit.data.frame import DataFrame

    return isinstance(value, DataFrame) or frame_kind(value) is not None


def base_type(media_type: str) -> str:
    """Return a media type without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def has_wire_content(media_type: str) -> bool:
    """Tell whether contents of this type stand on the wire themselves; a description stands for the others."""
    return JsonCodec().reads(media_type) or FrameCodec().reads(media_type) or TextCodec().reads(media_type)


def wire_content(content: bytes, media_type: str) -> bytes:
    """Return the JSON that stands on the wire for a stored content that can stand there."""
    return to_json(content.decode()) if TextCodec().reads(media_type) else content


def _describe(value: object) -> dict[str, str]:
    try:
        return describe_value(value)
    except Exception as error:
        # A user's own `__repr__` may fail; the object can be stored all the same.
        return describe_value(type(value), f"Value is not JSON-serializable; its repr failed: {type(error).__name__}")


def _mismatch(media_type: str, expected: str, value: object) -> ChapkitError:
    return UnprocessableError(
        f"A content of the type {media_type!r} is {expected}, and JSON cannot carry it here; "
        "leave content_type out, or change only the metadata with PATCH",
        code="media-type-mismatch",
        field="content_type",
        expected=expected,
        found=type(value).__name__,
    )

"""Frames on the wire, and what they become in the code of a model."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.data.convert import FrameConverters as FrameConverters
    from chapkit.data.convert import default_converters as default_converters
    from chapkit.data.decode import decode_frame as decode_frame
    from chapkit.data.encode import encode_frame as encode_frame
    from chapkit.data.fields import FRAME_MEDIA_TYPE as FRAME_MEDIA_TYPE
    from chapkit.data.fields import FRAME_MEDIA_TYPES as FRAME_MEDIA_TYPES
    from chapkit.data.fields import FrameField as FrameField
    from chapkit.data.frame import DataFrame as DataFrame
    from chapkit.data.frame import PandasDataFrame as PandasDataFrame
    from chapkit.data.parse import loads_chunked as loads_chunked

_NAMES = {
    "DataFrame": "chapkit.data.frame",
    "FRAME_MEDIA_TYPE": "chapkit.data.fields",
    "FRAME_MEDIA_TYPES": "chapkit.data.fields",
    "FrameConverters": "chapkit.data.convert",
    "FrameField": "chapkit.data.fields",
    "PandasDataFrame": "chapkit.data.frame",
    "decode_frame": "chapkit.data.decode",
    "default_converters": "chapkit.data.convert",
    "encode_frame": "chapkit.data.encode",
    "loads_chunked": "chapkit.data.parse",
}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

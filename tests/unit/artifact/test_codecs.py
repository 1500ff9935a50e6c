import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic_core import from_json

from chapkit.artifact.codecs import Codecs, encode_model, has_wire_content, is_frame, wire_content
from chapkit.core.errors import ChapkitError, UnprocessableError
from chapkit.data.fields import FRAME_MEDIA_TYPE
from chapkit.data.frame import DataFrame

CODECS = Codecs()
FRAME = pd.DataFrame({"location": ["Tromsø", None], "cases": [1.5, float("nan")]})
PICKLE = "application/vnd.chapkit.model+pickle"


@dataclass
class Trend:
    slope: float
    weights: Any


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("do not look at me")


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "text", "æøå 🎉", [], {}, {"a": [1, None]}])
def test_json_values_become_json(value: Any) -> None:
    encoded = CODECS.encode(value)
    assert encoded.media_type == "application/json"
    assert from_json(encoded.content) == value
    assert CODECS.decode(encoded.content, encoded.media_type) == value


@pytest.mark.parametrize("value", [b"", b"\x00\xff", bytearray(b"ab"), memoryview(b"ab")])
def test_bytes_stay_bytes(value: Any) -> None:
    encoded = CODECS.encode(value)
    assert (encoded.media_type, encoded.content) == ("application/octet-stream", bytes(value))
    assert CODECS.decode(encoded.content, encoded.media_type) == bytes(value)
    assert encoded.described is not None
    assert encoded.described["_type"] == "bytes"


def test_a_frame_becomes_the_frame_of_the_wire() -> None:
    for value in (FRAME, DataFrame.from_pandas(FRAME)):
        encoded = CODECS.encode(value)
        assert encoded.media_type == FRAME_MEDIA_TYPE
        document = from_json(encoded.content)
        assert document["columns"] == ["location", "cases"]
        assert document["data"] == [["Tromsø", 1.5], [None, None]]


def test_a_frame_comes_back_with_its_types() -> None:
    encoded = CODECS.encode(FRAME)
    pd.testing.assert_frame_equal(CODECS.decode(encoded.content, encoded.media_type), FRAME)


@pytest.mark.parametrize("media_type", [FRAME_MEDIA_TYPE, "application/x-pandas-dataframe"])
def test_columns_and_data_of_a_frame_type_are_checked(media_type: str) -> None:
    encoded = CODECS.encode({"columns": ["a"], "data": [[1]]}, media_type)
    assert encoded.media_type == FRAME_MEDIA_TYPE
    with pytest.raises(UnprocessableError):
        CODECS.encode({"columns": ["a"], "data": [[1, 2]]}, media_type)
    with pytest.raises(UnprocessableError):
        CODECS.encode({"rows": []}, media_type)


@pytest.mark.parametrize("value", [Trend(1.0, np.zeros(2)), {1, 2}, np.zeros(3), {"nested": b"bytes"}, Trend])
def test_what_json_cannot_carry_becomes_a_model(value: Any) -> None:
    encoded = CODECS.encode(value)
    assert encoded.media_type == PICKLE
    assert encoded.described is not None
    assert set(encoded.described) == {"_type", "_module", "_repr", "_serialization_error"}


def test_a_model_may_be_asked_for() -> None:
    assert pickle.loads(encode_model({"a": 1}).content) == {"a": 1}


def test_an_object_that_cannot_be_shown_can_be_stored() -> None:
    encoded = encode_model(Shy())
    assert encoded.described is not None
    assert "RuntimeError" in encoded.described["_serialization_error"]


@pytest.mark.parametrize("value", ["text", b"bytes", {"a": 1}])
def test_the_type_of_models_cannot_be_chosen(value: Any) -> None:
    for media_type in (PICKLE, PICKLE.upper(), f"{PICKLE}; a=b"):
        with pytest.raises(UnprocessableError) as caught:
            CODECS.encode(value, media_type)
        assert caught.value.code == "media-type-reserved"


def test_a_model_is_never_decoded_here() -> None:
    with pytest.raises(UnprocessableError):
        CODECS.decode(pickle.dumps(1), PICKLE)


@pytest.mark.parametrize(
    ("value", "media_type", "content"),
    [
        ("a,b\n", "text/csv", b"a,b\n"),
        ("æ", "text/plain; charset=utf-8", "æ".encode()),
        (b"\x89PNG", "image/png", b"\x89PNG"),
        (b'{"a": 1}', "application/json", b'{"a": 1}'),
        ({"a": 1}, "application/geo+json", b'{"a":1}'),
        (b"text", "text/plain", b"text"),
    ],
)
def test_a_media_type_may_be_chosen(value: Any, media_type: str, content: bytes) -> None:
    encoded = CODECS.encode(value, media_type)
    assert (encoded.media_type, encoded.content) == (media_type, content)


@pytest.mark.parametrize(
    ("value", "media_type", "code"),
    [
        ({"a": 1}, "image/png", "media-type-mismatch"),
        ("text", "application/zip", "media-type-mismatch"),
        ([1], "text/plain", "media-type-mismatch"),
        (b"\xff", "text/plain", "text-not-utf8"),
        ("\ud800", "text/plain", "text-not-utf8"),
        (b"{", "application/json", "content-not-json"),
        (b"NaN", "application/json", "number-not-finite"),
    ],
)
def test_a_value_that_does_not_fit_its_media_type_is_refused(value: Any, media_type: str, code: str) -> None:
    with pytest.raises(UnprocessableError) as caught:
        CODECS.encode(value, media_type)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"[NaN]", "json-invalid"),
        (b"{", "json-invalid"),
        (b'{"rows": []}', "frame-invalid"),
        (b'{"columns": ["a"], "data": [[1, 2]]}', "frame-rows-unequal"),
        (b'{"columns": ["a", "a"], "data": []}', "frame-columns-duplicate"),
    ],
)
def test_bytes_that_are_no_frame_are_refused(content: bytes, code: str) -> None:
    with pytest.raises(ChapkitError) as caught:
        CODECS.encode(content, FRAME_MEDIA_TYPE)
    assert caught.value.code == code


def test_bytes_of_a_frame_are_kept_as_they_are() -> None:
    content = b'{"columns": ["a"], "data": [[1]], "note": "mine"}'
    assert CODECS.encode(content, FRAME_MEDIA_TYPE).content == content


def test_frames_are_recognised() -> None:
    assert is_frame(FRAME)
    assert not is_frame({"columns": [], "data": []})
    assert not is_frame(np.zeros(2))


@pytest.mark.parametrize(
    ("content", "media_type", "expected"),
    [
        (b'{"a":1}', "application/json", b'{"a":1}'),
        (b'{"a":1}', FRAME_MEDIA_TYPE, b'{"a":1}'),
        ("æ\n".encode(), "text/plain", '"æ\\n"'.encode()),
    ],
)
def test_json_and_text_stand_on_the_wire(content: bytes, media_type: str, expected: bytes) -> None:
    assert has_wire_content(media_type)
    assert wire_content(content, media_type) == expected


def test_bytes_and_models_do_not_stand_on_the_wire() -> None:
    assert not has_wire_content("image/png")
    assert not has_wire_content(PICKLE)

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chapkit.core.errors import BadRequestError
from chapkit.data import loads_chunked, parse

SMALL = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small bodies take the way of large ones."""
    monkeypatch.setattr(parse, "_WHOLE_BYTES", 0)
    monkeypatch.setattr(parse, "_CHUNK_BYTES", 8)


def refusal(body: bytes) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        loads_chunked(body)
    assert caught.value.code == "json-invalid"
    return caught.value


def rows_body(count: int, cell: Callable[[int], Any] = float) -> dict[str, Any]:
    rows = [[cell(number), None, "x,y", number] for number in range(count)]
    return {"config_id": "01", "data": {"columns": list("abcd"), "data": rows}, "run_info": {}}


def strict(body: bytes) -> Any:
    def refuse(literal: str) -> None:
        raise ValueError(literal)

    return json.loads(body, parse_constant=refuse)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["],[", '"data":[', '"],["', "\\", '\\"', "data", "features", "]]}", "},{", "[", '"', 'x"data', "NaN"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(TEXTS | st.sampled_from(["data", "features", "columns"]), inner, max_size=4)
        | st.lists(st.lists(inner, max_size=4), max_size=8).map(lambda rows: {"data": rows})
    ),
    max_leaves=60,
)
STYLES = st.sampled_from(
    [
        {"separators": (",", ":")},
        {},
        {"indent": 2},
        {"ensure_ascii": False},
        {"separators": (" ,\n", "\t:\r\n")},
    ]
)


@SMALL
@given(VALUES, STYLES, st.sampled_from([1, 4, 8, 20, 64]))
def test_any_value_is_read_as_the_standard_library_reads_it(value: Any, style: dict[str, Any], size: int) -> None:
    body = json.dumps(value, **style).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse, "_WHOLE_BYTES", 0)
        patch.setattr(parse, "_CHUNK_BYTES", size)
        found = loads_chunked(body)
    assert found == strict(body)
    assert json.dumps(found) == json.dumps(strict(body))


@SMALL
@given(VALUES, STYLES, st.data(), st.sampled_from([1, 8, 20]))
def test_a_damaged_text_is_refused_or_read_as_the_standard_library_reads_it(
    value: Any, style: dict[str, Any], data: st.DataObject, size: int
) -> None:
    body = bytearray(json.dumps({"data": [[1, 2], [3, [4]]], "x": value}, **style).encode())
    place = data.draw(st.integers(0, len(body) - 1))
    match data.draw(st.sampled_from(["cut", "drop", "put"])):
        case "cut":
            del body[place:]
        case "drop":
            del body[place]
        case _:
            body.insert(place, data.draw(st.sampled_from(b'[]{},:"\\0aN. ')))
    text = bytes(body)
    try:
        expected = json.dumps(strict(text))
        text.decode()
    except ValueError:
        expected = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse, "_WHOLE_BYTES", 0)
        patch.setattr(parse, "_CHUNK_BYTES", size)
        try:
            found = json.dumps(loads_chunked(text))
        except BadRequestError:
            found = None
    # A lone surrogate is the one thing that the standard library reads and we refuse.
    assert found == expected or (found is None and "\\ud" in (expected or ""))


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[[1,2],[3,4],[5,6],[7,8],[9,10]]}',
        b'{"data":[[1,2],[3,4],[5,6]],"data":[[7,8],[9,10],[11,12]],"x":1}',
        b'{"data":[[1,2],[3,4],[5,6],[7,8]],"data":null}',
        b'{"data":{"columns":["a"],"data":[["],["],["],["],["],["],["]]"]]},"geo":[[1,2],[3,4]]}',
        b'{"x\\"data":[[1,2],[3,4],[5,6],[7,8]]}',
        b'{"x\\\\":"\\\\","data":[[1,2],[3,4],[5,6],[7,8]]}',
        b'{"x":"\\"data\\":[[1],[2]","data" : [ [1,2] , [3,4] ,\n[5,6] ] }',
        b'["data","data","data","data","data","data","data"]',
        b'{"data":[[[1],[2]],[[3],[4]],[[5],[6]],[[7],[8]]]}',
        b'{"data":[{"data":[[1,2],[3,4],[5,6]]},{"data":[[1,2],[3,4],[5,6]]}]}',
        b'{"data":[1,2,3,4,5,6,7,8,9,10,11,12,13,14]}',
        b'{"data":["aaaaaaaa","bbbbbbbb","cccccccc","dddddddd"]}',
        b'{"data":[         ],"features":[[],[],[],[],[],[]]}',
        b'{"features":[{"a":[[1,2],[3,4]]},{"a":[[5,6],[7,8]]}],"z":[[1,2],[3,4]]}',
        '{"data":[["é],[ü"],["日],["],["本"],["x"]]}'.encode(),
        b'{"geo":{"data":[[1,2],[3,4],[5,6],[7,8]]},"data":{"data":[[1,2],[3,4],[5,6],[7,8]]}}',
    ],
)
def test_texts_made_to_mislead_are_read_right(body: bytes) -> None:
    assert loads_chunked(body) == strict(body)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("body", "position"),
    [
        (b'{"data":[[1,2],[3,4],[5,6],[7,8],]}', 33),
        (b'{"data":[[1,2],[3,4],[5,6],[7,8]]]}', 33),
        (b'{"data":[[1,2],[3,4],[5,6],[7,8]', None),
        (b'{"data":[[1,2],[3,4],,[5,6],[7,8]]}', 21),
        (b'{"data":[[1,2],[3,4],[5,x],[7,8],[9,9]]}', 24),
        (b'{"data":[[1,2],[3,4],[5,6],[7,8]],"y":[1,2,,3]}', 43),
        (b'{"data":[[1,2],[3,4],[5,6]},[7,8]}', None),
        (b'{"x":"y"data":[[1,2],[3,4],[5,6],[7,8]]}', 8),
        (b'{"data":[[1,2],\n[3,4],\n[5,6],\n[7,?],\n[7,8]]}', 33),
        (b'{"data":[[1,2],[3,4],[5,6],[7,8]]}x', 34),
        (b'{"data":[,[1,2],[3,4],[5,6],[7,8]]}', 9),
        (b'{"data":[[1,2],[3,4],[5,6] [7,8],[9,9]]}', 27),
    ],
)
def test_a_broken_text_is_refused_with_its_place(body: bytes, position: int | None) -> None:
    error = refusal(body)
    if position is not None:
        assert error.extensions["position"] == position
        assert f"at byte {position}" in error.detail


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused_by_name(literal: str) -> None:
    body = '{"data":[[1.5,' + literal + "],[2,3]]}"
    error = refusal(body.encode())
    assert error.detail == f"{literal} is not JSON (byte 14): send null for a missing value"
    assert error.extensions["position"] == 14
    large = json.dumps(rows_body(30_000)).replace("25000.0", literal).encode()
    assert len(large) > 2**19
    assert refusal(large).extensions["position"] == large.index(literal.encode())


@pytest.mark.parametrize("body", [b"", b" ", b"\xff\xfe", b'"\xff"', b"{", b"1 2", b"\xef\xbb\xbf{}", b"[" * 5000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    refusal(body)


def test_a_large_body_is_read_as_the_standard_library_reads_it() -> None:
    rng = random.Random(7)
    value = rows_body(40_000, lambda _: rng.random())
    value["geo"] = {
        "type": "FeatureCollection",
        "features": [
            {"id": f"é {n}", "geometry": {"coordinates": [[[rng.random(), rng.random()] for _ in range(60)]]}}
            for n in range(300)
        ],
    }
    body = json.dumps(value).encode()
    assert loads_chunked(body) == value


@pytest.mark.parametrize(
    "row",
    [
        [[1, 2], [3, 4], [[5], [6]]],
        ["],[", '"],["', "\\],[\\"],
        ["x" * 300_000],
        [{"data": [[1, 2], [3, 4]]}, {"data": []}],
        list(range(2000)),
    ],
)
def test_large_rows_of_every_kind_are_read(row: list[Any]) -> None:
    value = {"data": [row] * (1 + 600_000 // len(json.dumps(row))), "after": [[1, 2], [3, 4]]}
    assert loads_chunked(json.dumps(value).encode()) == value


def test_many_small_arrays_are_left_in_place() -> None:
    value = [{"data": [[number, 2], [3, 4]]} for number in range(20_000)]
    assert loads_chunked(json.dumps(value).encode()) == value


def test_rows_with_cells_that_look_like_borders_cost_little_more() -> None:
    value = {"data": [[[[1, 2], [3, 4]]] * 40 for _ in range(3000)]}
    body = json.dumps(value).encode()
    begin = time.process_time()
    assert loads_chunked(body) == value
    whole = time.process_time()
    json.loads(body)
    assert whole - begin < 20 * (time.process_time() - whole) + 1


def test_other_threads_get_their_turn_while_a_large_body_is_read() -> None:
    body = json.dumps(rows_body(60_000)).encode()
    turns = 0
    is_done = threading.Event()

    def count() -> None:
        nonlocal turns
        while not is_done.is_set():
            turns += 1
            time.sleep(0)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    thread = threading.Thread(target=count)
    try:
        thread.start()
        begin = turns
        loads_chunked(body)
        found = turns - begin
    finally:
        is_done.set()
        thread.join()
        sys.setswitchinterval(before)
    assert found >= 5

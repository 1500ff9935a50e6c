import pytest

from chapkit.core.errors import BadRequestError
from chapkit.core.ids import ULID
from chapkit.web.paging import DEFAULT_SIZE, Window, decode_cursor, encode_cursor


def test_a_cursor_is_read_back() -> None:
    id = ULID()
    assert decode_cursor(encode_cursor(id)) == id
    assert decode_cursor("") is None


@pytest.mark.parametrize("cursor", ["x", "====", "AAAA", "ä", "\x00", encode_cursor("nonsense"), "A" * 10_000])
def test_a_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        decode_cursor(cursor)
    assert raised.value.code == "cursor-invalid"
    assert len(raised.value.extensions["found"]) <= 80


def test_a_window_is_a_page_where_page_or_size_is_given() -> None:
    assert not Window().paged
    assert not Window(limit=3).paged
    assert Window(page=2).paged
    assert Window(size=2).paged
    assert not Window(cursor="", size=2).paged
    assert (Window(page=2).page_number, Window(page=2).page_size) == (2, DEFAULT_SIZE)
    assert (Window(size=2).page_number, Window(size=2).page_size) == (1, 2)

import json

import pytest

from chapkit.job.keys import fingerprint_of


def test_bodies_that_say_the_same_have_one_fingerprint() -> None:
    assert fingerprint_of(b'{"a": 1, "b": {"c": [1, 2], "d": "\xc3\xa9"}}') == fingerprint_of(
        b'{"b":{"d":"\\u00e9","c":[1,2]},"a":1}'
    )
    assert fingerprint_of(b"") == fingerprint_of(b"{}")


@pytest.mark.parametrize("other", [b"[2,1]", b"[1]", b"[1,2.5]", b'["1",2]', b"null"])
def test_bodies_that_say_something_else_have_another_one(other: bytes) -> None:
    assert fingerprint_of(b"[1,2]") != fingerprint_of(other)


def test_large_bodies_are_compared_byte_for_byte() -> None:
    large = {"b": "x" * 70_000, "a": 1}
    assert fingerprint_of(json.dumps(large).encode()) == fingerprint_of(json.dumps(large).encode())
    assert fingerprint_of(json.dumps(large).encode()) != fingerprint_of(json.dumps(large, sort_keys=True).encode())


@pytest.mark.parametrize(
    "body", [b'"\\ud800"', b"[" * 500 + b"]" * 500, '{"a": 1}'.encode("utf-16"), b"\xff", b"\xef\xbb\xbf{}"]
)
def test_what_cannot_be_put_in_order_is_compared_byte_for_byte(body: bytes) -> None:
    assert fingerprint_of(body) == fingerprint_of(body)
    assert fingerprint_of(body) != fingerprint_of(body + b" ")

import pytest

from chapkit.client import ClientError
from chapkit.client.calls import keyed


def test_a_key_is_a_header() -> None:
    assert keyed(None) == {}
    assert keyed("a b-1") == {"Idempotency-Key": "a b-1"}
    assert keyed("x" * 255) == {"Idempotency-Key": "x" * 255}


@pytest.mark.parametrize("key", ["", " ", " a", "a ", "é", "a\nb", "\x7f", "x" * 256])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ClientError, match=r"uuid4") as refused:
        keyed(key)
    assert refused.value.code == "idempotency-key-invalid"

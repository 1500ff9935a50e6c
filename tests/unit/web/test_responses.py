import pytest
from starlette.requests import Request

from chapkit.web.responses import content_etag, location_of, matches


@pytest.mark.parametrize(
    ("header", "fits"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ('"b",W/"a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ("", False),
        (None, False),
        ('"a', False),
    ],
)
def test_a_tag_is_found_in_a_header(header: str | None, fits: bool) -> None:
    assert matches(header, '"a"') is fits


def test_the_tag_of_a_content_follows_it() -> None:
    assert content_etag(b"a") == content_etag(b"a") != content_etag(b"b")
    assert content_etag(b"a").strip('"').isalnum()


@pytest.mark.parametrize(("root", "url"), [("", "https://host:8443/x"), ("/app/", "https://host:8443/app/x")])
def test_a_location_is_absolute_and_knows_the_prefix_of_a_proxy(root: str, url: str) -> None:
    scope = {
        "type": "http",
        "scheme": "https",
        "server": ("host", 8443),
        "headers": [(b"host", b"host:8443")],
        "path": f"{root}/things",
        "root_path": root,
        "query_string": b"",
        "method": "GET",
    }
    assert location_of(Request(scope), "/x") == url

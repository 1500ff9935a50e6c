import json
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.rendering import as_array, as_page
from tests.things import Thing, ThingManager


def test_every_microsecond_has_a_tag_of_its_own() -> None:
    manager = ThingManager(AsyncSession())
    tick = timedelta(microseconds=1)
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + n * timedelta(seconds=7_777, microseconds=777) for n in range(2_000)]
    same = [moment for moment in moments if _tag(manager, moment) == _tag(manager, moment + tick)]
    assert same == []


def _tag(manager: ThingManager, moment: datetime) -> str:
    return manager.etag(Thing(name="a", updated_at=moment))


def test_a_page_says_how_many_there_are() -> None:
    page = json.loads(as_page([b'{"a":1}', b"null"], 5, 2, 2))
    assert page == {"items": [{"a": 1}, None], "total": 5, "page": 2, "size": 2, "pages": 3}
    assert json.loads(as_page([], 0, 1, 2))["pages"] == 0


def test_an_array_of_nothing_is_an_array() -> None:
    assert as_array([]) == b"[]"

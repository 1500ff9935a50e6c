import copy
import pickle
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from chapkit.core.errors import InvalidULIDError
from chapkit.core.ids import PATTERN, ULID

TEXT = "01M8GDCZBQ1FTFJZND52SRV3G5"


class Holder(BaseModel):
    id: ULID


def test_a_new_id_is_greater_than_every_one_before() -> None:
    ids = [ULID() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_rise_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ULID()
    monkeypatch.setattr("chapkit.core.ids.time.time_ns", lambda: 1)
    assert first < ULID() < ULID()


def test_ids_of_many_threads_are_unique_and_rise_in_each() -> None:
    found: list[list[ULID]] = []

    def make() -> None:
        found.append([ULID() for _ in range(2_000)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for ids in found for id in ids}) == 16_000
    assert all(ids == sorted(ids) for ids in found)


def test_an_id_tells_when_it_was_made() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=5)
    assert before <= ULID().datetime <= datetime.now(UTC) + timedelta(seconds=5)
    assert ULID("01ARZ3NDEKTSV4RRFFQ69G5FAV").datetime == datetime(2016, 7, 30, 23, 54, 10, 259000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.lower(),
        TEXT[:-1],
        TEXT + "0",
        TEXT + "\n",
        " " + TEXT,
        TEXT.replace("M", "I"),
        TEXT.replace("M", "L"),
        TEXT.replace("M", "O"),
        TEXT.replace("M", "U"),
        "8" + TEXT[1:],
        "٠" + TEXT[1:],
        "../../../../../etc/passwd",
        0,
        b"01M8GDCZBQ1FTFJZND52SRV3G5",
    ],
)
def test_what_is_no_id_is_refused(text: object) -> None:
    with pytest.raises(InvalidULIDError) as raised:
        ULID(text)
    assert raised.value.code == "invalid-ulid"
    with pytest.raises(ValidationError) as refused:
        Holder(id=text)  # type: ignore[arg-type]
    assert refused.value.errors()[0]["type"] == "ulid_format"


def test_a_long_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidULIDError) as raised:
        ULID("x" * 100_000)
    assert len(str(raised.value)) < 200


def test_an_id_is_its_text() -> None:
    assert ULID(TEXT) == TEXT
    assert ULID.from_str(TEXT) == ULID(TEXT)
    assert f"{ULID(TEXT)}" == TEXT
    assert {TEXT: 1}[ULID(TEXT)] == 1


def test_an_id_survives_pickling_and_copying() -> None:
    id = ULID()
    for twin in (pickle.loads(pickle.dumps(id)), copy.copy(id), copy.deepcopy(id)):
        assert type(twin) is ULID
        assert twin == id


def test_an_object_of_another_ulid_package_is_taken_and_handed_out() -> None:
    foreign: Any = ULID(TEXT).foreign()
    assert type(foreign) is not ULID
    assert ULID(foreign) == TEXT
    assert Holder(id=foreign).id == TEXT


def test_json_of_an_id_is_its_text_and_comes_back_as_an_id() -> None:
    holder = Holder(id=ULID(TEXT))
    assert holder.model_dump_json() == f'{{"id":"{TEXT}"}}'
    assert type(Holder.model_validate_json(holder.model_dump_json()).id) is ULID


def test_the_json_schema_of_an_id_names_its_pattern() -> None:
    schema = Holder.model_json_schema()["properties"]["id"]
    assert schema["type"] == "string"
    assert schema["pattern"] == PATTERN

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pandas as pd
import pytest

from chapkit.core.errors import IntegrityError
from tests.service.artifacts_service import ARTIFACTS, ArtifactsService, artifacts_service

pytestmark = pytest.mark.anyio
SMALL = bytes(range(256))
LARGE = os.urandom(2_500_000)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ArtifactsService]:
    async with artifacts_service(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}", tmp_path / "data") as running:
        yield running


def path_of(id: str) -> str:
    return f"{ARTIFACTS}/{id}/$download"


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
async def test_bytes_are_sent_as_they_are(service: ArtifactsService, content: bytes) -> None:
    id = await service.store(content)
    answer = await service.client.get(path_of(id))
    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f'attachment; filename="generic-{id}.bin"'


async def test_on_postgres_the_same_is_sent(postgres_url: str, tmp_path: Path) -> None:
    async with artifacts_service(postgres_url, tmp_path / "data") as service:
        for content in (SMALL, LARGE):
            id = await service.store(content)
            assert (await service.client.get(path_of(id))).content == content
            part = await service.client.get(path_of(id), headers={"range": "bytes=10-19"})
            assert (part.status_code, part.content) == (206, content[10:20])


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=200-", 200, None),
        ("bytes=-5", -5, None),
        ("bytes=-99999999", 0, None),
        ("bytes=100-99999999", 100, None),
        ("bytes = 1 - 2", 1, 3),
    ],
)
async def test_a_range_is_sent(
    service: ArtifactsService, content: bytes, header: str, start: int, end: int | None
) -> None:
    answer = await service.client.get(path_of(await service.store(content)), headers={"range": header})
    expected = content[start:end]
    first = len(content) + start if start < 0 else start
    assert answer.status_code == 206
    assert answer.content == expected
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(content)}"
    assert answer.headers["content-length"] == str(len(expected))


@pytest.mark.parametrize("header", ["bytes=256-", "bytes=300-400", "bytes=-0"])
async def test_a_range_outside_of_the_content_is_refused(service: ArtifactsService, header: str) -> None:
    answer = await service.client.get(path_of(await service.store(SMALL)), headers={"range": header})
    assert (answer.status_code, answer.json()["code"]) == (416, "range-not-satisfiable")
    assert answer.headers["content-range"] == "bytes */256"


async def test_nothing_has_no_range(service: ArtifactsService) -> None:
    answer = await service.client.get(path_of(await service.store(b"")), headers={"range": "bytes=0-"})
    assert answer.status_code == 416


@pytest.mark.parametrize("header", ["bytes=1-2,4-5", "lines=1-2", "bytes=2-1", "bytes=-", "bytes=a-b", "bytes=١-٢"])
async def test_what_is_no_single_range_means_everything(service: ArtifactsService, header: str) -> None:
    answer = await service.client.get(path_of(await service.store(SMALL)), headers={"range": header.encode()})
    assert (answer.status_code, answer.content) == (200, SMALL)


async def test_a_range_of_another_state_means_everything(service: ArtifactsService) -> None:
    path = path_of(await service.store(SMALL))
    etag = (await service.client.get(path)).headers["etag"]
    for tag, status in ((etag, 206), ('"other"', 200), ("Wed, 21 Oct 2026 07:28:00 GMT", 200)):
        answer = await service.client.get(path, headers={"range": "bytes=0-1", "if-range": tag})
        assert answer.status_code == status


async def test_what_the_client_has_is_not_sent_again(service: ArtifactsService) -> None:
    path = path_of(await service.store(LARGE))
    etag = (await service.client.get(path)).headers["etag"]
    assert len(etag) == 66
    answer = await service.client.get(path, headers={"if-none-match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag


async def test_a_frame_is_sent_as_rows(service: ArtifactsService) -> None:
    frame = pd.DataFrame({"location": ["Tromsø", "Oslo"], "sample_0": [1.5, None]})
    path = path_of(await service.store(frame, type="ml_prediction"))
    answer = await service.client.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"].endswith('.json"')
    assert answer.json() == [{"location": "Tromsø", "sample_0": 1.5}, {"location": "Oslo", "sample_0": None}]
    part = await service.client.get(path, headers={"range": "bytes=0-4"})
    assert (part.status_code, part.content) == (206, answer.content[:5])
    same = await service.client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert same.status_code == 304


@pytest.mark.parametrize("rows", [0, 1, 60_000])
async def test_a_frame_of_any_length_is_sent_as_rows(service: ArtifactsService, rows: int) -> None:
    id = await service.store(pd.DataFrame({"a": range(rows), "b": ["x"] * rows}))
    answer = await service.client.get(path_of(id))
    assert answer.json() == [{"a": number, "b": "x"} for number in range(rows)]


async def test_json_and_text_are_sent_as_they_are(service: ArtifactsService) -> None:
    json_answer = await service.client.get(path_of(await service.store({"a": "æ"})))
    assert json_answer.headers["content-type"] == "application/json"
    assert json_answer.content == '{"a":"æ"}'.encode()
    text_answer = await service.client.get(path_of(await service.store("a,b\n", media_type="text/csv")))
    assert text_answer.headers["content-type"] == "text/csv"
    assert text_answer.headers["content-disposition"].endswith('.csv"')


@pytest.mark.parametrize(
    ("metadata", "type", "expected"),
    [
        ({"filename": "report.pdf"}, "x", 'attachment; filename="report.pdf"'),
        ({"filename": "../../etc/passwd"}, "x", 'attachment; filename="passwd"'),
        ({"filename": "C:\\temp\\a.txt"}, "x", 'attachment; filename="a.txt"'),
        (
            {"filename": "année \r\nX: 1.csv"},
            "x",
            "attachment; filename=\"annee_X_1.csv\"; filename*=UTF-8''ann%C3%A9e%20X%3A%201.csv",
        ),
        ({"filename": 'a"b;.txt'}, "x", "attachment; filename=\"ab_.txt\"; filename*=UTF-8''ab%3B.txt"),
        ({"filename": "日本"}, "x", "attachment; filename=\"content\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC"),
        ({"filename": ".."}, "x", 'attachment; filename="content"'),
    ],
)
async def test_the_name_of_the_file_is_safe(
    service: ArtifactsService, metadata: dict[str, str], type: str, expected: str
) -> None:
    id = await service.store(b"bytes", metadata=metadata, type=type)
    assert (await service.client.get(path_of(id))).headers["content-disposition"] == expected


async def test_a_type_with_odd_characters_harms_no_header(service: ArtifactsService) -> None:
    id = await service.store(b"bytes", type='a"\r\nb/ø', media_type="image/png\r\nX-Evil: 1")
    answer = await service.client.get(path_of(id))
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_missing_file_is_a_problem(service: ArtifactsService) -> None:
    id = await service.store(LARGE)
    service.blob_files()[0].unlink()
    answer = await service.client.get(path_of(id))
    assert (answer.status_code, answer.json()["code"]) == (404, "content-missing")


async def test_a_corrupt_file_breaks_the_answer_off(service: ArtifactsService) -> None:
    id = await service.store(LARGE)
    [file] = service.blob_files()
    file.write_bytes(LARGE[:-1] + bytes([LARGE[-1] ^ 1]))
    with pytest.raises(RuntimeError, match="already started") as caught:
        await service.client.get(path_of(id))
    assert isinstance(caught.value.__cause__, IntegrityError)


async def test_a_download_holds_no_transaction(service: ArtifactsService) -> None:
    id = await service.store(LARGE)
    async with service.client.stream("GET", path_of(id)) as answer:
        await service.post({"written": "meanwhile"})
        assert await answer.aread() == LARGE

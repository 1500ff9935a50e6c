import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic_core import from_json
from sqlalchemy import event, update

from chapkit.artifact.feature import ArtifactFeature
from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.models import Artifact
from chapkit.artifact.repository import ArtifactRepository
from chapkit.artifact.schemas import ArtifactData, ArtifactIn
from chapkit.artifact.signing import Signer
from chapkit.artifact.storage import ContentStorage
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError, ConflictError, IntegrityError, NotFoundError, UnprocessableError
from chapkit.core.ids import ULID
from chapkit.core.query import Filter, Operator, Query, Sort
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from tests.unit.artifact.conftest import Application

pytestmark = pytest.mark.anyio
LARGE = "long text " * 20_000


class Model:
    def __init__(self) -> None:
        self.weights = np.arange(3)


async def store(application: Application, value: Any, **options: Any) -> ULID:
    async with application.services.scope.write() as scope:
        return (await scope.get(ArtifactManager).store(value, **options)).id


async def content(application: Application, id: ULID) -> Any:
    async with application.services.scope.read() as scope:
        return await scope.get(ArtifactManager).content(id)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        0,
        {"a": [1, None, "Tromsø 🎉"]},
        b"",
        b"\x00\xff",
        LARGE,
        LARGE.encode(),
        {"rows": [[1.5] * 10] * 20_000},
    ],
    ids=["null", "empty", "zero", "object", "no bytes", "bytes", "large text", "large bytes", "large rows"],
)
async def test_what_was_stored_comes_back(application: Application, value: Any) -> None:
    assert await content(application, await store(application, value)) == value


async def test_frames_come_back_with_their_types(application: Application) -> None:
    frame = pd.DataFrame({"location": ["Tromsø"] * 9000, "cases": [1.0, None, 3.0] * 3000})
    restored = await content(application, await store(application, frame))
    pd.testing.assert_frame_equal(restored, frame)


async def test_models_come_back_as_themselves(application: Application) -> None:
    restored = await content(application, await store(application, Model()))
    assert restored.weights.tolist() == [0, 1, 2]
    assert await content(application, await store(application, (1, 2), as_model=True)) == (1, 2)


async def test_only_large_contents_lie_in_files(application: Application) -> None:
    await store(application, {"small": True})
    assert application.blob_files() == []
    await store(application, LARGE)
    await store(application, LARGE)
    assert len(application.blob_files()) == 1


async def test_a_content_is_prepared_without_a_transaction_and_recorded_with_its_row(application: Application) -> None:
    coder = application.services.get(ContentStorage).coder
    prepared = await coder.prepare(LARGE)
    small = await coder.prepare({"a": 1})
    assert (prepared.content, small.content) == (None, b'{"a":1}')
    wanted = ULID()
    async with application.services.scope.write() as scope:
        manager = scope.get(ArtifactManager)
        parent = await manager.record(prepared, type="ml_training", metadata={"a": 1}, id=wanted, tags=["x"])
        child = await manager.record(small, parent_id=parent.id)
    async with application.services.scope.read() as scope:
        manager = scope.get(ArtifactManager)
        assert await manager.content(wanted) == LARGE
        found = await manager.get(child.id)
        assert (found.parent_id, found.level, found.data.content) == (wanted, 1, {"a": 1})
        root = await manager.get(wanted)
        assert (root.data.type, root.data.metadata, root.tags) == ("ml_training", {"a": 1}, ["x"])


async def test_bytes_that_were_encoded_here_are_not_looked_at_again(application: Application) -> None:
    coder = application.services.get(ContentStorage).coder
    prepared = await coder.prepare_encoded(b'{"columns":["a"],"data":[[1]]}', "application/vnd.chapkit.dataframe+json")
    async with application.services.scope.write() as scope:
        id = (await scope.get(ArtifactManager).record(prepared)).id
    assert (await content(application, id))["a"].tolist() == [1]
    with pytest.raises(ConfigurationError):
        await coder.prepare_encoded(b"", "application/vnd.chapkit.model+pickle")


async def test_nothing_is_left_of_a_unit_of_work_that_fails(application: Application) -> None:
    async def fail() -> None:
        async with application.services.scope.write() as scope:
            await scope.get(ArtifactManager).store({"small": True})
            raise RuntimeError("regret")

    with pytest.raises(RuntimeError, match="regret"):
        await fail()
    async with application.services.scope.read() as scope:
        assert await scope.get(ArtifactManager).count() == 0


@pytest.mark.parametrize("column", ["signature", "sha256", "media_type"])
async def test_a_forged_model_is_not_loaded(application: Application, column: str) -> None:
    genuine = await store(application, Model())
    other = await store(application, {1, 2, 3})
    async with application.services.scope.write() as scope:
        row = await scope.get(ArtifactManager).repository.get(other)
        forged = {"signature": None, "sha256": row.sha256, "media_type": "application/vnd.chapkit.model+pickle"}
        target = genuine
        if column == "media_type":
            target = await store_bytes(scope.get(ArtifactManager))
        await scope.session.execute(update(Artifact).where(Artifact.id == target).values({column: forged[column]}))
    with pytest.raises(IntegrityError) as caught:
        await content(application, target)
    assert caught.value.code == "model-unsigned"


async def store_bytes(manager: ArtifactManager) -> ULID:
    return (await manager.store(b"cos\nsystem\n(S'false'\ntR.")).id


async def test_a_model_of_another_key_is_not_loaded(application: Application) -> None:
    id = await store(application, Model())
    async with application.services.scope.read() as scope:
        storage = application.services.get(ContentStorage)
        stranger = ArtifactManager(
            ArtifactRepository(scope.session), blobs=storage.blobs(scope.session), signer=Signer(b"0" * 32)
        )
        with pytest.raises(IntegrityError):
            await stranger.content(id)


async def test_a_key_may_be_set(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    await database.init()
    services = Services()
    ArtifactFeature(signing_key="a key that was set by somebody").register(services)
    services.add(Database, database)
    async with services.scope.write() as scope:
        manager = scope.get(ArtifactManager)
        assert await manager.content((await manager.store({1, 2})).id) == {1, 2}
    await database.dispose()
    assert not list(tmp_path.rglob("signing.key"))
    assert "set by somebody" not in repr(ArtifactFeature(signing_key="set by somebody"))


async def test_a_manager_without_a_signer_says_how_to_get_one(application: Application) -> None:
    async with application.services.scope.write() as scope:
        with pytest.raises(ConfigurationError, match="signer") as caught:
            await ArtifactManager(ArtifactRepository(scope.session)).store({1, 2})
    assert caught.value.code == "signing-key-missing"


async def test_a_script_needs_only_a_session(application: Application) -> None:
    database = application.services.get(Database)
    async with database.session() as session:
        saved = await ArtifactManager(ArtifactRepository(session)).save(ArtifactIn(data=LARGE))
    async with database.session() as session:
        manager = ArtifactManager(ArtifactRepository(session))
        assert await manager.content(saved.id) == LARGE
        assert (await manager.get(saved.id)).data.content == LARGE
    assert application.blob_files() == []


async def test_a_changed_file_is_detected(application: Application) -> None:
    id = await store(application, LARGE)
    [file] = application.blob_files()
    file.write_bytes(file.read_bytes().replace(b"long", b"LONG"))
    with pytest.raises(IntegrityError) as caught:
        await content(application, id)
    assert caught.value.code == "content-corrupt"
    file.unlink()
    with pytest.raises(NotFoundError) as missing:
        await content(application, id)
    assert missing.value.code == "content-missing"


async def test_metadata_that_json_cannot_hold_are_refused(application: Application) -> None:
    with pytest.raises(UnprocessableError) as caught:
        await store(application, 1, metadata={"score": float("nan")})
    assert caught.value.extensions["field"] == "metadata.score"


async def test_saving_twice_changes_the_artifact(application: Application) -> None:
    async with application.services.scope.write() as scope:
        manager = scope.get(ArtifactManager)
        first = await manager.save(ArtifactIn(data={"type": "report", "content": 1}, tags=["a"]))
        second = await manager.save(ArtifactIn(id=first.id, data=ArtifactData(type="report", content=2)))
        assert (second.id, second.data.content, second.tags) == (first.id, 2, ["a"])
        assert await manager.count() == 1


async def test_a_batch_may_name_a_parent_of_its_own(application: Application) -> None:
    root, child = ULID(), ULID()
    async with application.services.scope.write() as scope:
        saved = await scope.get(ArtifactManager).save_all(
            [
                ArtifactIn(id=root, data=0),
                ArtifactIn(id=child, data=1, parent_id=root),
                ArtifactIn(data=2, parent_id=child),
            ]
        )
    assert [item.level for item in saved] == [0, 1, 2]
    assert [item.data.content for item in saved] == [0, 1, 2]


async def test_lists_leave_the_content_out(application: Application) -> None:
    await store(application, {"a": 1})
    async with application.services.scope.read() as scope:
        manager = scope.get(ArtifactManager)
        [listed] = await manager.find_all()
        [(_, rendered)] = await manager.render_list(Query())
    assert "content" not in listed.model_dump()["data"]
    assert rendered == listed.model_dump_json().encode()


async def test_the_bytes_of_one_are_those_of_its_schema(application: Application) -> None:
    for value in (None, {"a": "æ"}, LARGE, b"\x00", pd.DataFrame({"a": [1]}), {1}):
        id = await store(application, value, type="report", metadata={"n": [1, None], "text": 'quo"te'})
        async with application.services.scope.read() as scope:
            manager = scope.get(ArtifactManager)
            rendered = await manager.render_one(await manager.repository.get(id))
            assert from_json(rendered) == (await manager.get(id)).model_dump(mode="json")


async def test_a_list_of_a_thousand_reads_no_blob(application: Application) -> None:
    async with application.services.scope.write() as scope:
        manager = scope.get(ArtifactManager)
        prepared = await manager.prepare({"a": 1})
        for _ in range(1000):
            await manager.record(prepared)
    statements: list[str] = []
    engine = application.services.get(Database).engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        async with application.services.scope.read() as scope:
            rows = await scope.get(ArtifactManager).render_list(Query())
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(rows) == 1000
    assert len(statements) == 1
    assert "blobs" not in statements[0]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("type",), "b", [1]),
        (("data", "type"), "b", [1]),
        (("level",), "0", [0, 1, 2]),
        (("metadata", "config_id"), "C1", [0, 2]),
        (("data", "metadata", "config_id"), "C1", [0, 2]),
        (("data", "content_size"), "3", [2]),
    ],
)
async def test_lists_are_filtered_by_what_stands_on_the_wire(
    application: Application, path: tuple[str, ...], value: str, expected: list[int]
) -> None:
    ids = [
        await store(application, 1, type="a", metadata={"config_id": "C1"}),
        await store(application, 2, type="b", metadata={"config_id": "C2"}),
        await store(application, 300, type="c", metadata={"config_id": "C1"}),
    ]
    query = Query(filters=(Filter(path, Operator.EQ, value),), sort=(Sort(("data", "type")),))
    async with application.services.scope.read() as scope:
        manager = scope.get(ArtifactManager)
        assert [id for id, _ in await manager.render_list(query)] == [ids[index] for index in expected]
        assert [item.id for item in await manager.list(query)] == [ids[index] for index in expected]
        assert await manager.count(query) == len(expected)


async def test_a_patch_of_the_metadata_keeps_the_content(application: Application) -> None:
    id = await store(application, Model(), type="m", metadata={"a": 1, "b": 2})
    async with application.services.scope.write() as scope:
        changed = await scope.get(ArtifactManager).patch(id, {"data": {"metadata": {"a": None, "c": 3}}})
    assert changed.data.metadata == {"b": 2, "c": 3}
    assert (await content(application, id)).weights.tolist() == [0, 1, 2]


async def test_a_patch_of_tags_touches_nothing_else(application: Application) -> None:
    id = await store(application, b"bytes", type="m")
    async with application.services.scope.write() as scope:
        changed = await scope.get(ArtifactManager).patch(id, {"tags": ["new"]})
    assert (changed.tags, changed.data.type) == (["new"], "m")
    assert await content(application, id) == b"bytes"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"content": {"a": None, "b": 2}}, {"b": 2, "c": 3}),
        ({"content": [1]}, [1]),
        ({"content": None}, None),
        ({"content_type": "application/geo+json"}, {"a": 1, "c": 3}),
        ("plain", "plain"),
    ],
)
async def test_a_patch_of_the_content_is_merged(application: Application, changes: Any, expected: Any) -> None:
    id = await store(application, {"a": 1, "c": 3})
    async with application.services.scope.write() as scope:
        await scope.get(ArtifactManager).patch(id, {"data": changes})
    assert await content(application, id) == expected


async def test_a_patched_frame_stays_a_frame(application: Application) -> None:
    id = await store(application, pd.DataFrame({"a": [1]}))
    async with application.services.scope.write() as scope:
        changed = await scope.get(ArtifactManager).patch(id, {"data": {"content": {"data": [[2], [3]]}}})
        with pytest.raises(UnprocessableError):
            await scope.get(ArtifactManager).patch(id, {"data": {"content": {"data": [[2, 3]]}}})
    assert changed.data.content_type == "application/vnd.chapkit.dataframe+json"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"colour": 1}, "data-member-unknown"),
        ({"type": 1}, "data-member-invalid"),
        ({"metadata": [1]}, "data-member-invalid"),
        ({"content": {"a": 1}}, "content-not-json"),
        ({"content_type": "application/json"}, "content-not-json"),
        ({"content": 1, "content_type": "application/vnd.chapkit.model+pickle"}, "media-type-reserved"),
    ],
)
async def test_a_patch_that_makes_no_sense_is_refused(application: Application, changes: Any, code: str) -> None:
    id = await store(application, b"bytes")
    with pytest.raises(UnprocessableError) as caught:
        async with application.services.scope.write() as scope:
            await scope.get(ArtifactManager).patch(id, {"data": changes})
    assert caught.value.code == code
    assert await content(application, id) == b"bytes"


async def test_an_id_that_is_taken_is_refused(application: Application) -> None:
    id = await store(application, 1)
    with pytest.raises(ConflictError) as caught:
        await store(application, 2, id=id)
    assert caught.value.code == "id-exists"


async def test_the_same_content_may_be_stored_by_many_at_once(application: Application) -> None:
    ids = await asyncio.gather(*(store(application, value) for value in [LARGE, {"a": 1}] * 4))
    assert [await content(application, id) for id in ids] == [LARGE, {"a": 1}] * 4

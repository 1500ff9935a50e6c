import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete

from chapkit.config.feature import ConfigFeature
from chapkit.config.models import Config
from chapkit.config.schemas import BaseConfig
from chapkit.core.ids import ULID
from chapkit.web.feature import CrudPermissions
from tests.serving import application, serving
from tests.things import filled_database

pytestmark = pytest.mark.anyio
Service = tuple[FastAPI, httpx.AsyncClient]
URL = "/api/v1/configs"
BULK = f"{URL}/$bulk"
CALLS = ["POST", "POST $bulk", "GET", "GET one", "PUT one", "PATCH one", "PATCH $bulk", "DELETE one", "DELETE $bulk"]


class Model(BaseConfig):
    alpha: float = 0.5
    beta: int = 3
    label: str = "x"


@pytest.fixture(scope="module")
async def service(module_url: str) -> AsyncGenerator[Service]:
    app = application(ConfigFeature(Model), url=module_url)
    async with serving(app) as client:
        yield app, client


@pytest.fixture
async def client(service: Service) -> AsyncGenerator[httpx.AsyncClient]:
    app, client = service
    yield client
    async with app.state.services.scope.write() as scope:
        await scope.session.execute(delete(Config))


async def _create(client: httpx.AsyncClient, name: str = "c", **data: Any) -> dict[str, Any]:
    answer = await client.post(URL, json={"name": name, "data": data})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def _names(client: httpx.AsyncClient, **parameters: Any) -> list[str]:
    answer = await client.get(URL, params=parameters)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()]


async def test_a_created_configuration_is_complete_and_found_where_it_says(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json={"name": "a:b", "data": {"alpha": 1, "free": None}, "tags": ["x"]})
    body = answer.json()
    assert answer.status_code == 201
    assert body["data"] == {
        "prediction_periods": 3,
        "additional_continuous_covariates": [],
        "alpha": 1.0,
        "beta": 3,
        "label": "x",
        "free": None,
    }
    assert (body["name"], body["tags"]) == ("a:b", ["x"])
    assert body["created_at"] == body["updated_at"]
    assert answer.headers["location"] == f"http://service{URL}/{body['id']}"
    found = await client.get(answer.headers["location"])
    assert found.json() == body
    assert found.headers["etag"] == answer.headers["etag"]


async def test_an_id_can_be_chosen_once(client: httpx.AsyncClient) -> None:
    id = str(ULID())
    body = {"id": id, "name": "a", "data": {}}
    first, second = await client.post(URL, json=body), await client.post(URL, json=body)
    assert (first.status_code, first.json()["id"]) == (201, id)
    assert (second.status_code, second.json()["code"]) == (409, "id-exists")


async def test_many_who_choose_the_same_id_get_one_row(client: httpx.AsyncClient) -> None:
    body = {"id": str(ULID()), "name": "a", "data": {}}
    answers = await asyncio.gather(*(client.post(URL, json=body) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert len(await _names(client)) == 1


async def test_put_replaces_the_document_and_keeps_what_was_not_sent(client: httpx.AsyncClient) -> None:
    made = (await client.post(URL, json={"name": "a", "data": {"alpha": 2, "free": 1}, "tags": ["x"]})).json()
    changed = (await client.put(f"{URL}/{made['id']}", json={"name": "b", "data": {"beta": 4, "other": None}})).json()
    assert (changed["name"], changed["tags"], changed["created_at"]) == ("b", ["x"], made["created_at"])
    assert (changed["data"]["alpha"], changed["data"]["beta"], changed["data"]["other"]) == (0.5, 4, None)
    assert "free" not in changed["data"]
    assert changed["updated_at"] > made["updated_at"]
    assert (await client.get(f"{URL}/{made['id']}")).json() == changed


async def test_patch_merges_and_null_brings_the_default_back(client: httpx.AsyncClient) -> None:
    made = await _create(client, alpha=2, beta=9, free=1)
    answer = await client.patch(f"{URL}/{made['id']}", json={"data": {"alpha": None, "free": None, "beta": 8}})
    data = answer.json()["data"]
    assert (data["alpha"], data["beta"]) == (0.5, 8)
    assert "free" not in data


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_change_answers_with_the_tag_of_the_new_state(client: httpx.AsyncClient, method: str) -> None:
    made = await _create(client)
    answer = await client.request(method, f"{URL}/{made['id']}", json={"name": "b", "data": {}})
    assert answer.headers["etag"] == (await client.get(f"{URL}/{made['id']}")).headers["etag"]


async def test_delete_answers_204_once_and_404_then(client: httpx.AsyncClient) -> None:
    made = await _create(client)
    answers = [await client.delete(f"{URL}/{made['id']}") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 404]
    assert answers[0].content == b""


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
async def test_what_is_missing_is_404_and_what_is_no_id_is_400(client: httpx.AsyncClient, method: str) -> None:
    body = None if method in ("GET", "HEAD", "DELETE") else {"name": "a", "data": {}}
    statuses = []
    for id in (str(ULID()), str(ULID()).lower(), "xyz", "%20"):
        answer = await client.request(method, f"{URL}/{id}", json=body)
        statuses.append(answer.status_code)
    assert statuses == [404, 400, 400, 400]


async def test_a_tag_saves_reading_again(client: httpx.AsyncClient) -> None:
    made = await _create(client)
    url = f"{URL}/{made['id']}"
    tag = (await client.get(url)).headers["etag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await client.get(url, headers={"If-None-Match": header})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert (await client.get(url, headers={"If-None-Match": '"other"'})).status_code == 200
    await client.patch(url, json={"name": "b"})
    assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 200


async def test_lists_have_a_tag_that_follows_their_content(client: httpx.AsyncClient) -> None:
    await _create(client)
    tag = (await client.get(URL)).headers["etag"]
    assert (await client.get(URL, headers={"If-None-Match": tag})).status_code == 304
    await _create(client)
    assert (await client.get(URL, headers={"If-None-Match": tag})).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_change_of_another_state_is_refused(client: httpx.AsyncClient, method: str) -> None:
    made = await _create(client)
    url = f"{URL}/{made['id']}"
    body = None if method == "DELETE" else {"name": "b", "data": {}}
    refused = await client.request(method, url, json=body, headers={"If-Match": '"other"'})
    assert (refused.status_code, refused.json()["code"]) == (412, "etag-mismatch")
    tag = (await client.get(url)).headers["etag"]
    assert refused.json()["found"] == tag
    assert (await client.get(url)).json() == made
    accepted = await client.request(method, url, json=body, headers={"If-Match": tag})
    assert accepted.status_code in (200, 204)


async def test_any_state_will_do_for_a_star(client: httpx.AsyncClient) -> None:
    made = await _create(client)
    answer = await client.put(f"{URL}/{made['id']}", json={"name": "b", "data": {}}, headers={"If-Match": "*"})
    assert answer.status_code == 200


async def test_of_fifty_who_change_the_same_state_one_wins(client: httpx.AsyncClient) -> None:
    made = await _create(client)
    url = f"{URL}/{made['id']}"
    for _ in range(2):
        tag = (await client.get(url)).headers["etag"]
        answers = await asyncio.gather(
            *(
                client.put(url, json={"name": str(number), "data": {"beta": number}}, headers={"If-Match": tag})
                for number in range(50)
            )
        )
        winners = [answer for answer in answers if answer.status_code == 200]
        assert [answer.status_code for answer in answers].count(412) == 49
        assert (await client.get(url)).json() == winners[0].json()


async def test_fifty_patches_of_different_members_all_arrive(client: httpx.AsyncClient) -> None:
    made = await _create(client)
    url = f"{URL}/{made['id']}"
    answers = await asyncio.gather(*(client.patch(url, json={"data": {f"k{n}": n}}) for n in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    data = (await client.get(url)).json()["data"]
    assert [data[f"k{n}"] for n in range(50)] == list(range(50))


async def test_a_list_comes_by_id_and_can_be_cut(client: httpx.AsyncClient) -> None:
    for name in "abcde":
        await _create(client, name)
    assert await _names(client) == list("abcde")
    assert await _names(client, limit=2) == ["a", "b"]


async def test_pages_have_an_envelope(client: httpx.AsyncClient) -> None:
    for name in "abcde":
        await _create(client, name)
    page = (await client.get(URL, params={"page": 2, "size": 2})).json()
    assert [item["name"] for item in page.pop("items")] == ["c", "d"]
    assert page == {"total": 5, "page": 2, "size": 2, "pages": 3}
    alone = (await client.get(URL, params={"page": 1})).json()
    assert (len(alone["items"]), alone["size"]) == (5, 50)
    sized = (await client.get(URL, params={"size": 2})).json()
    assert (len(sized["items"]), sized["page"]) == (2, 1)
    beyond = (await client.get(URL, params={"page": 9, "size": 2})).json()
    assert (beyond["items"], beyond["total"]) == ([], 5)


async def test_a_page_counts_what_its_filters_leave(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await _create(client, beta=number)
    page = (await client.get(URL, params={"page": 1, "size": 2, "filter": "data.beta:ge:2"})).json()
    assert (len(page["items"]), page["total"]) == (2, 3)


@pytest.mark.parametrize(
    "query",
    [
        "size=0",
        "size=1001",
        "size=x",
        "page=0",
        "page=-1",
        "page=1.5",
        "page=99999999999999999999",
        "page=9223372036854775807&size=1000",
        "limit=0",
        "limit=99999999999999999999",
    ],
)
async def test_a_window_out_of_bounds_is_422(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")


async def test_a_walk_by_cursor_sees_every_row_once_while_others_are_added(client: httpx.AsyncClient) -> None:
    items = [{"name": f"c{number:03}", "data": {}} for number in range(250)]
    assert (await client.post(BULK, json=items)).status_code == 201
    seen: list[str] = []
    url, number = f"{URL}?cursor=&size=40", 0
    while True:
        answer = await client.get(url)
        seen += [item["name"] for item in answer.json()]
        await _create(client, f"late {number}")
        number += 1
        if "next" not in answer.links:
            break
        url = answer.links["next"]["url"]
    assert seen[:250] == [item["name"] for item in items]
    assert len(seen) == len(set(seen))
    assert number >= 7


async def test_a_cursor_keeps_the_filter(client: httpx.AsyncClient) -> None:
    for number in range(6):
        await _create(client, str(number), beta=number % 2)
    first = await client.get(URL, params={"cursor": "", "size": 2, "filter": "data.beta:eq:1"})
    second = await client.get(first.links["next"]["url"])
    assert [item["name"] for item in first.json() + second.json()] == ["1", "3", "5"]
    assert "next" not in second.links


@pytest.mark.parametrize("cursor", ["!!!", "abc", "AAAA", "ä", "x" * 5000])
async def test_a_foreign_cursor_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get(URL, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor-invalid")


async def test_a_cursor_in_another_order_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get(URL, params={"cursor": "", "sort": "-name"})
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor-with-sort")


async def test_filters_and_order_reach_into_the_document(client: httpx.AsyncClient) -> None:
    for number in range(6):
        await _create(client, f"n{number}", beta=number, free={"odd": bool(number % 2)})
    assert await _names(client, filter=["data.beta:ge:2", "data.free.odd:eq:true"]) == ["n3", "n5"]
    assert await _names(client, sort="-data.beta", limit=2) == ["n5", "n4"]
    assert await _names(client, sort="data.free.odd,-name") == ["n4", "n2", "n0", "n5", "n3", "n1"]
    assert await _names(client, filter="name:in:n1,n4") == ["n1", "n4"]
    assert await _names(client, filter="name:like:n_") == [f"n{number}" for number in range(6)]
    assert await _names(client, filter="created_at:gt:2999-01-01T00:00:00Z") == []


async def test_a_value_of_a_filter_may_hold_colons(client: httpx.AsyncClient) -> None:
    await _create(client, "a:b:c")
    assert await _names(client, filter="name:eq:a:b:c") == ["a:b:c"]


async def test_a_whole_document_can_be_asked_for(client: httpx.AsyncClient) -> None:
    made = await _create(client, "a")
    await _create(client, "b", alpha=7)
    text = json.dumps(made["data"], separators=(",", ":"))
    assert await _names(client, filter=f"data:eq:{text}") == ["a"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("filter=dta.beta:eq:1", "field-unknown"),
        ("filter=name.x:eq:1", "field-unknown"),
        ("filter=name", "filter-invalid"),
        ("filter=name:eq", "filter-invalid"),
        ("filter=:eq:1", "filter-invalid"),
        ("filter=name:equals:1", "filter-operator-unknown"),
        ("filter=created_at:gt:yesterday", "filter-value-invalid"),
        ("filter=name:eq:%00", "filter-value-invalid"),
        ("filter=id:eq:xyz", "invalid-ulid"),
        ("sort=nme", "field-unknown"),
        ("filter=data.a%22b:eq:1", "field-unknown"),
    ],
)
async def test_a_bad_filter_or_order_is_400(client: httpx.AsyncClient, query: str, code: str) -> None:
    answer = await client.get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_many_are_created_changed_and_deleted_at_once(client: httpx.AsyncClient) -> None:
    made = await client.post(BULK, json=[{"name": name, "data": {}} for name in "abc"])
    body = made.json()
    assert (made.status_code, body["total"], body["succeeded"], body["failed"]) == (201, 3, 3, 0)
    ids = [item["id"] for item in body["items"]]
    changed = await client.patch(BULK, json=[{"id": id, "data": {"beta": 9}} for id in ids[:2]])
    assert changed.status_code == 200
    assert [item["data"]["beta"] for item in changed.json()["items"]] == [9, 9]
    deleted = await client.delete(BULK, params={"id": ids[1:]})
    assert (deleted.status_code, deleted.json()["succeeded"]) == (200, 2)
    assert await _names(client) == ["a"]


async def test_one_bad_item_keeps_all_from_being_created(client: httpx.AsyncClient) -> None:
    taken = await _create(client)
    items = [
        {"name": "good", "data": {}},
        {"name": "", "data": {}},
        {"id": taken["id"], "name": "taken", "data": {}},
    ]
    answer = await client.post(BULK, json=items)
    body = answer.json()
    assert (answer.status_code, body["code"], body["failed"], body["total"]) == (422, "bulk-refused", 2, 3)
    assert [(error["index"], error["status"], error["code"]) for error in body["errors"]] == [
        (1, 422, "request-invalid"),
        (2, 409, "id-exists"),
    ]
    assert body["errors"][1]["id"] == taken["id"]
    assert len(await _names(client)) == 1


async def test_what_is_good_is_kept_where_that_is_asked_for(client: httpx.AsyncClient) -> None:
    taken = await _create(client, "first")
    items = [
        {"name": "good", "data": {}},
        {"id": taken["id"], "name": "taken", "data": {}},
        {"name": "bad", "data": {"alpha": "x"}},
        {"name": "too", "data": {}},
    ]
    answer = await client.post(BULK, params={"partial": True}, json=items)
    body = answer.json()
    assert (answer.status_code, body["succeeded"], body["failed"]) == (207, 2, 2)
    assert [None if item is None else item["name"] for item in body["items"]] == ["good", None, None, "too"]
    assert await _names(client) == ["first", "good", "too"]


async def test_one_missing_item_keeps_all_from_being_changed_or_deleted(client: httpx.AsyncClient) -> None:
    made, missing = await _create(client, "a"), str(ULID())
    patched = await client.patch(BULK, json=[{"id": made["id"], "name": "b"}, {"id": missing, "name": "b"}])
    deleted = await client.delete(BULK, params={"id": [made["id"], missing]})
    assert [(answer.status_code, answer.json()["code"]) for answer in (patched, deleted)] == [(404, "bulk-refused")] * 2
    assert await _names(client) == ["a"]


async def test_partial_changes_and_deletions_keep_what_succeeds(client: httpx.AsyncClient) -> None:
    made, missing = await _create(client, "a"), str(ULID())
    items = [{"id": missing, "name": "b"}, {"id": made["id"], "name": "b"}, {"name": "no id"}, {"id": 7, "name": "c"}]
    patched = await client.patch(BULK, params={"partial": True}, json=items)
    assert patched.status_code == 207
    assert [error["code"] for error in patched.json()["errors"]] == ["not-found", "id-missing", "invalid-ulid"]
    assert await _names(client) == ["b"]
    deleted = await client.delete(BULK, params={"id": ["x", made["id"]], "partial": True})
    assert (deleted.status_code, deleted.json()["succeeded"], deleted.json()["failed"]) == (207, 1, 1)
    assert await _names(client) == []


async def test_the_same_item_may_be_changed_twice_and_deleted_once(client: httpx.AsyncClient) -> None:
    made = await _create(client, "a")
    id = made["id"]
    answer = await client.patch(BULK, json=[{"id": id, "data": {"x": 1}}, {"id": id, "data": {"y": 2}}])
    assert {"x": 1, "y": 2}.items() <= answer.json()["items"][1]["data"].items()
    deleted = await client.delete(BULK, params={"id": [id, id]})
    assert deleted.status_code == 404
    assert await _names(client) == ["a"]


@pytest.mark.parametrize("body", [{}, [1], [[]], "x", [{"name": "a", "data": {}}] * 1001])
async def test_a_body_that_is_no_list_of_objects_is_422(client: httpx.AsyncClient, body: Any) -> None:
    for method in ("POST", "PATCH"):
        answer = await client.request(method, BULK, json=body)
        assert answer.status_code == 422
    assert await _names(client) == []


async def test_an_empty_bulk_does_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post(BULK, json=[])
    assert (answer.status_code, answer.json()["total"]) == (201, 0)
    assert (await client.delete(BULK)).status_code == 422


async def test_the_collection_describes_itself(client: httpx.AsyncClient) -> None:
    await _create(client)
    schema = (await client.get(f"{URL}/$schema")).json()
    assert schema["properties"]["alpha"]["default"] == 0.5
    assert (await client.get(f"{URL}/%24stats")).json() == {"total": 1}
    operations = (await client.get(f"{URL}/$operations")).json()
    assert {("schema", "GET"), ("stats", "GET"), ("bulk", "POST"), ("bulk", "DELETE")} <= {
        (operation["name"], operation["method"]) for operation in operations
    }
    unknown = await client.get(f"{URL}/$shcema")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "operation-unknown")


@pytest.mark.parametrize("name", ["ä", "数据", "🙂", "a/b?c#d", "'; DROP TABLE configs; --", " ", "\x00", "\u2028"])
async def test_any_name_comes_back_as_it_was(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post(URL, json={"name": name, "data": {name: name}})
    if answer.status_code == 422:
        # PostgreSQL has no NUL in texts.
        assert (name, answer.json()["code"]) == ("\x00", "value-not-storable")
        return
    found = (await client.get(answer.headers["location"])).json()
    assert (found["name"], found["data"][name]) == (name, name)


async def test_a_name_may_be_used_again(client: httpx.AsyncClient) -> None:
    assert (await _create(client, "same"))["id"] != (await _create(client, "same"))["id"]


async def test_a_large_document_is_stored_and_sent(client: httpx.AsyncClient) -> None:
    made = await _create(client, blob="x" * 1_000_000)
    assert (await client.get(f"{URL}/{made['id']}")).json() == made


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a", "data": {"free": "\\ud800"}}',
        b'{"name": "a", "data": {"\\ud800": 1}}',
        b'{"name": "\\ud800", "data": {}}',
        b'{"name": "a", "data": {"free": ' + b"[" * 400 + b"]" * 400 + b"}}",
        b'{"name": "a", "data": {"free": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"name": "a", "data": {"free": NaN}}',
        b'{"name": "a", "data": {"free": 1e999}}',
        b'{"name": "a", "data": {"alpha": Infinity}}',
        b'{"name": "a", "data": {"free": ' + b"9" * 5_000 + b"}}",
        b'{"name": "a", "data": {}, "tags": ["a b"]}',
        b'{"name": "", "data": {}}',
        b'{"name": null, "data": {}}',
        b'{"name": "a", "data": []}',
        b'{"name": "a", "data": {"alpha": "x"}}',
        b'{"id": "xyz", "name": "a", "data": {}}',
        b'{"name": "a"}',
        b"[]",
        b"null",
        b"",
        b"\xff",
        b"{nope",
    ],
)
async def test_what_cannot_be_stored_is_refused_and_leaves_nothing(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(URL, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert await _names(client) == []


async def test_a_change_that_cannot_be_stored_leaves_the_old_state(client: httpx.AsyncClient) -> None:
    made = await _create(client)
    for body in (b'{"data": {"free": "\\ud800"}}', b'{"data": {"beta": "x"}}', b'{"name": null}', b"[]", b"1"):
        answer = await client.patch(
            f"{URL}/{made['id']}", content=body, headers={"content-type": "application/merge-patch+json"}
        )
        assert answer.status_code in (400, 422), answer.text
    assert (await client.get(f"{URL}/{made['id']}")).json() == made


async def test_two_kinds_of_configurations_live_side_by_side(table_url: str) -> None:
    class Other(BaseConfig):
        gamma: int = 1

    second = ConfigFeature(Other, name="other", prefix="/api/v1/others")
    async with filled_database(table_url):
        async with serving(application(ConfigFeature(Model), second, url=table_url)) as client:
            made = await _create(client, "a")
            theirs = (await client.post("/api/v1/others", json={"name": "b", "data": {}})).json()
            assert await _names(client) == ["a"]
            assert [item["name"] for item in (await client.get("/api/v1/others")).json()] == ["b"]
            assert (await client.get(f"/api/v1/others/{made['id']}")).status_code == 404
            assert (await client.delete(f"{URL}/{theirs['id']}")).status_code == 404
            assert (await client.put(f"{URL}/{theirs['id']}", json={"name": "x", "data": {}})).status_code == 404
            assert (await client.delete(BULK, params={"id": [theirs["id"]]})).status_code == 404
            assert (await client.get("/api/v1/others/$stats")).json() == {"total": 1}


@pytest.mark.parametrize(
    ("permissions", "refused"),
    [
        (CrudPermissions(create=False), {"POST", "POST $bulk"}),
        (CrudPermissions(read=False), {"GET", "GET one"}),
        (CrudPermissions(update=False), {"PUT one", "PATCH one", "PATCH $bulk"}),
        (CrudPermissions(delete=False), {"DELETE one", "DELETE $bulk"}),
    ],
)
async def test_what_is_not_permitted_is_not_there(permissions: CrudPermissions, refused: set[str]) -> None:
    async with serving(application(ConfigFeature(Model, permissions=permissions))) as client:
        found = set()
        for call in CALLS:
            method, _, place = call.partition(" ")
            path = {"": URL, "one": f"{URL}/{ULID()}", "$bulk": BULK}[place]
            answer = await client.request(method, path, json=[] if place == "$bulk" else {"name": "a", "data": {}})
            if answer.status_code == 405 or "route-unknown" in answer.text:
                assert answer.headers["content-type"] == "application/problem+json"
                found.add(call)
        assert found == refused


async def test_the_document_of_the_interface_names_what_is_sent(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert set(document["paths"][URL]) == {"get", "post"}
    assert set(document["paths"][f"{URL}/{{entity_id}}"]) == {"get", "put", "patch", "delete"}
    body = document["paths"][URL]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "Model" in json.dumps(body)

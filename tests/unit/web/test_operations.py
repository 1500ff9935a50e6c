from typing import Any

import pytest
from fastapi import APIRouter

from chapkit.web.crud import CrudRouter
from chapkit.web.operations import add_operation, list_operations
from tests.things import ThingIn, ThingOut


async def _handler() -> None: ...


def _crud() -> CrudRouter[ThingIn, ThingOut]:
    async def manager() -> Any: ...

    return CrudRouter("/things", ("Things",), ThingIn, ThingOut, manager)


@pytest.mark.parametrize("method", ["", "FETCH", "OPTIONS", "GET "])
def test_an_unknown_method_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="Unsupported HTTP method"):
        _crud().register_entity_operation("x", _handler, http_method=method)


def test_an_operation_stands_in_front_of_the_identifier() -> None:
    crud = _crud()
    crud.register_collection_operation("late", _handler, http_method="put")
    paths = [info.path for info in list_operations(crud.router.routes)]
    assert paths.index("/things/$late") < paths.index("/things/{entity_id}")


def test_operations_keep_the_order_of_their_registration() -> None:
    router = APIRouter(prefix="/x")
    router.add_api_route("/{id}", _handler)
    for name in "abc":
        add_operation(router, f"/${name}", _handler, "GET", {})
    assert [info.name for info in list_operations(router.routes)][:3] == ["a", "b", "c"]


def test_a_router_can_be_made_in_one_call() -> None:
    async def manager() -> Any: ...

    router = CrudRouter.create("/things", ("Things",), ThingIn, ThingOut, manager)
    assert isinstance(router, APIRouter)
    assert router.tags == ["Things"]

from typing import Any

import pytest
from pydantic import SecretStr

from chapkit.config.manager import ConfigManager, ConfigShape
from chapkit.config.repository import ConfigRepository
from chapkit.config.schemas import BaseConfig, ConfigIn
from chapkit.core.errors import ConfigurationError, UnprocessableError
from chapkit.core.sqlite_builder import SqliteDatabaseBuilder

pytestmark = pytest.mark.anyio


class FreeConfig(BaseConfig):
    free: dict[str, Any] = {}


class SecretConfig(BaseConfig):
    token: SecretStr = SecretStr("x")


async def test_a_number_that_json_cannot_hold_is_refused_wherever_it_stands() -> None:
    database = SqliteDatabaseBuilder.in_memory().build()
    await database.init()
    async with database.session() as session:
        manager = ConfigManager(ConfigRepository(session), FreeConfig)
        data = FreeConfig(free={"nested": [1.0, float("nan")]})
        with pytest.raises(UnprocessableError) as caught:
            await manager.create(ConfigIn[FreeConfig](name="x", data=data))
        kept = await manager.create(ConfigIn[FreeConfig](name="y", data=FreeConfig(free={"nothing": None})))
    await database.dispose()
    assert (caught.value.code, caught.value.extensions["field"]) == ("number-not-finite", "data.free.nested.1")
    assert kept.data.free == {"nothing": None}


def test_a_secret_among_the_fields_is_refused_when_the_service_is_built() -> None:
    with pytest.raises(ConfigurationError, match="SecretConfig") as caught:
        ConfigShape(SecretConfig)
    assert caught.value.code == "config-secret-field"

from datetime import UTC, datetime, timedelta

import pytest

from chapkit.core.services import Services
from chapkit.ops.system import SystemFeature
from chapkit.web.feature import Feature, SystemSections
from tests.serving import application, serving

pytestmark = pytest.mark.anyio


async def test_the_system_is_described() -> None:
    async with serving(application(SystemFeature())) as client:
        body = (await client.get("/api/v1/system")).json()
    assert set(body) >= {"current_time", "timezone", "python_version", "platform", "hostname", "chapkit_version"}
    assert body["database"] == "sqlite"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(body["current_time"])) < timedelta(minutes=1)


async def test_features_bring_sections_of_their_own() -> None:
    class Sectioned(Feature):
        kind = "sectioned"

        def register(self, services: Services) -> None:
            async def section(services: Services) -> dict[str, int]:
                return {"length": 3}

            services.get(SystemSections).add("queue", section)

    async with serving(application(SystemFeature(), Sectioned())) as client:
        assert (await client.get("/api/v1/system")).json()["queue"] == {"length": 3}

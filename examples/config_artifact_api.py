"""A service whose artifacts belong to configurations, with a health check of its own.

uvicorn examples.config_artifact_api:app
"""

import shutil

from fastapi import FastAPI

from chapkit import ArtifactHierarchy, ArtifactManager, BaseConfig, ConfigIn, ConfigManager
from chapkit.api import HealthState, ServiceBuilder, ServiceInfo
from chapkit.link.manager import LinkManager

ENOUGH_BYTES = 100_000_000


class ForecastConfig(BaseConfig):
    """What a forecast is told."""

    region: str


async def check_disk() -> tuple[HealthState, str | None]:
    """Report a disk that is nearly full before it is full."""
    free = shutil.disk_usage(".").free
    if free < ENOUGH_BYTES:
        return HealthState.DEGRADED, f"Only {free} bytes are free"
    return HealthState.HEALTHY, None


async def seed(app: FastAPI) -> None:
    """Write a configuration with one linked tree, in one transaction."""
    async with app.state.services.scope.write() as scope:
        configs, artifacts = scope.get(ConfigManager), scope.get(ArtifactManager)
        if await configs.count():
            return
        north = await configs.create(ConfigIn(name="north", data=ForecastConfig(region="Troms")))
        model = await artifacts.store({"rain": 0.4}, metadata={"made_by": "seed"})
        await artifacts.store({"cases": [12, 15]}, parent_id=model.id)
        await scope.get(LinkManager).link(north.id, model.id)


app = (
    ServiceBuilder(
        info=ServiceInfo(display_name="Configurations and artifacts"),
        database_url="sqlite+aiosqlite:///data/config_artifact_api.db",
    )
    .with_logging()
    .with_health(checks={"disk": check_disk})
    .with_config(ForecastConfig)
    .with_artifacts(
        hierarchy=ArtifactHierarchy(name="forecast", level_labels={0: "model", 1: "prediction"}),
        enable_config_linking=True,
    )
    .on_startup(seed)
    .build()
)

"""A service that keeps configurations of one class.

uvicorn examples.config_api:app
"""

from fastapi import FastAPI

from chapkit import BaseConfig, ConfigIn, ConfigManager
from chapkit.api import ServiceBuilder, ServiceInfo


class ForecastConfig(BaseConfig):
    """What a forecast is told."""

    region: str
    seasonal: bool = True
    confidence: float = 0.9


async def seed(app: FastAPI) -> None:
    """Write three configurations into an empty database, all or none."""
    async with app.state.services.scope.write() as scope:
        configs = scope.get(ConfigManager)
        if await configs.count() == 0:
            regions = {"north": "Troms", "middle": "Oslo", "south": "Agder"}
            await configs.save_all(
                ConfigIn(name=name, tags=["seed"], data=ForecastConfig(region=region))
                for name, region in regions.items()
            )


app = (
    ServiceBuilder(
        info=ServiceInfo(
            display_name="Configurations",
            summary="Keeps what forecasts are told",
            version="1.2.0",
            contact={"name": "The forecasters", "email": "forecasters@example.org"},
        ),
        database_url="sqlite+aiosqlite:///data/config_api.db",
    )
    .with_logging()
    .with_health()
    .with_system()
    .with_config(ForecastConfig)
    .on_startup(seed)
    .build()
)

"""Store a typed configuration and find it again; no server, no file.

python -m examples.quickstart
"""

import asyncio

from chapkit import BaseConfig, ConfigIn, ConfigManager, ConfigRepository, SqliteDatabaseBuilder


class ForecastConfig(BaseConfig):
    """What a forecast is told."""

    region: str
    seasonal: bool = True


async def main() -> None:
    """Save a configuration, change it, and read the newest of its name."""
    database = SqliteDatabaseBuilder.in_memory().build()
    await database.init()
    try:
        async with database.session() as session:
            configs = ConfigManager(ConfigRepository(session), ForecastConfig)
            north = await configs.save(ConfigIn(name="north", data=ForecastConfig(region="Troms")))
            await configs.patch(north.id, {"data": {"prediction_periods": 6}}, configs.shape.in_schema)

            found = await configs.find_by_name("north")
            if found is not None:
                print(f"{found.name}: {found.data.region}, {found.data.prediction_periods} periods ahead")
            print(f"stored: {await configs.count()}, with the id {north.id}")
    finally:
        await database.dispose()


if __name__ == "__main__":
    asyncio.run(main())

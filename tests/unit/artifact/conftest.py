from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chapkit.artifact.feature import ArtifactFeature
from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.core.database import Database
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase

HIERARCHY = ArtifactHierarchy("pipeline", {0: "model", 1: "prediction"})


@dataclass(frozen=True)
class Application:
    services: Services
    data_dir: Path

    def blob_files(self) -> list[Path]:
        return [path for path in (self.data_dir / "blobs").rglob("*") if path.is_file()]


@pytest.fixture
async def application(database_url: str, tmp_path: Path) -> AsyncIterator[Application]:
    """Yields the things of an application with artifacts, on either database."""
    data_dir = tmp_path / "data"
    kind = SqliteDatabase if database_url.startswith("sqlite") else Database
    database = kind(database_url, data_dir=data_dir)
    await database.init()
    services = Services()
    ArtifactFeature(hierarchy=HIERARCHY).register(services)
    services.add(Database, database)
    yield Application(services, data_dir)
    await database.dispose()

"""A service with nothing but artifacts, put together by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from chapkit.artifact.feature import ArtifactFeature
from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.artifact.manager import ArtifactManager
from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.web.problems import add_error_handlers

ARTIFACTS = "/api/v1/artifacts"


@dataclass(frozen=True)
class ArtifactsService:
    """The service, a client of it, and a way in from behind."""

    client: AsyncClient
    services: Services
    data_dir: Path

    async def store(self, value: Any, **options: Any) -> str:
        """Store a value as a model or a job would."""
        async with self.services.scope.write() as scope:
            return (await scope.get(ArtifactManager).store(value, **options)).id

    async def post(self, data: Any, parent_id: str | None = None) -> dict[str, Any]:
        """Create an artifact over HTTP and return it."""
        answer = await self.client.post(ARTIFACTS, json={"data": data, "parent_id": parent_id})
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def content(self, id: str) -> Any:
        """Return the content as the code of a model sees it."""
        async with self.services.scope.read() as scope:
            return await scope.get(ArtifactManager).content(ULID(id))

    def blob_files(self) -> list[Path]:
        """Return the files of large contents."""
        return [path for path in (self.data_dir / "blobs").rglob("*") if path.is_file()]


@asynccontextmanager
async def artifacts_service(database_url: str, data_dir: Path) -> AsyncIterator[ArtifactsService]:
    """Run the service."""
    feature = ArtifactFeature(hierarchy=ArtifactHierarchy("ml", {0: "model", 1: "prediction"}))
    services = Services()
    feature.register(services)
    app = FastAPI()
    app.state.services = services
    add_error_handlers(app)
    for router in feature.routers():
        app.include_router(router)
    kind = SqliteDatabase if database_url.startswith("sqlite") else Database
    database = kind(database_url, data_dir=data_dir)
    await database.init()
    services.add(Database, database)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://service") as client:
        yield ArtifactsService(client, services, data_dir)
    await database.dispose()

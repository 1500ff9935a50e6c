"""A service that answers inside of the test."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from chapkit.api.assembly import Plan, assemble
from chapkit.api.info import InfoFeature, ServiceInfo
from chapkit.ops.database import DatabaseFeature
from chapkit.web.feature import Feature

INFO = ServiceInfo(display_name="Test service")
MEMORY = "sqlite+aiosqlite:///:memory:"


def application(*features: Feature, url: str = MEMORY, entities: tuple[Any, ...] = (), **plan: Any) -> FastAPI:
    database = DatabaseFeature(url=url, entities=entities)
    return assemble(Plan(info=INFO, features=(InfoFeature(INFO), database, *features), **plan))


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            yield client

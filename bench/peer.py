"""The service to compare with: FastAPI, SQLAlchemy's async ORM and aiosqlite, written by hand."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import ulid
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, DateTime, Dialect, String, TypeDecorator, event, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON")


class UTCDateTime(TypeDecorator[datetime]):
    """A time that comes back from SQLite with its zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Drop the zone, which SQLite does not store."""
        return value.replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return value.replace(tzinfo=UTC) if value else None


class Base(DeclarativeBase):
    """The registry of the tables."""


class Config(Base):
    """A stored configuration."""

    __tablename__ = "configs"

    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=lambda: ulid.new().str)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=lambda: datetime.now(UTC))
    updated_at: Mapped[datetime] = mapped_column(
        UTCDateTime, default=lambda: datetime.now(UTC), onupdate=lambda: datetime.now(UTC)
    )
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    name: Mapped[str] = mapped_column(index=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class ConfigData(BaseModel):
    """The options of a model."""

    prediction_periods: int = 3
    additional_continuous_covariates: list[str] = []
    alpha: float = 0.5
    beta: int = 3
    label: str = "x"


class ConfigIn(BaseModel):
    """A configuration as it is sent."""

    name: str
    data: ConfigData
    tags: list[str] = []


class ConfigOut(BaseModel):
    """A configuration as it is answered."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    created_at: datetime
    updated_at: datetime
    tags: list[str]
    name: str
    data: ConfigData


class Page(BaseModel):
    """One page of configurations."""

    items: list[ConfigOut]
    total: int
    page: int
    size: int
    pages: int


def database_engine(url: str) -> AsyncEngine:
    """Return an engine whose SQLite connections use the write-ahead log."""
    engine = create_async_engine(url)

    @event.listens_for(engine.sync_engine, "connect")
    def set_pragmas(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open the database and create its tables; close it at the end."""
    engine = database_engine(os.environ["BENCH_DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


async def database_session(request: Request) -> AsyncGenerator[AsyncSession]:
    """Open a session for one request."""
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(database_session)]
router = APIRouter(prefix="/api/v1/configs")


async def find_or_404(session: AsyncSession, config_id: str) -> Config:
    """Return the configuration, or answer 404."""
    config = await session.get(Config, config_id)
    if config is None:
        raise HTTPException(404, f"Config {config_id} not found")
    return config


@router.post("", status_code=201, response_model=ConfigOut)
async def create(body: ConfigIn, session: Session, response: Response) -> Config:
    """Store a configuration."""
    config = Config(name=body.name, tags=body.tags, data=body.data.model_dump(mode="json"))
    session.add(config)
    await session.commit()
    response.headers["Location"] = f"/api/v1/configs/{config.id}"
    return config


@router.get("")
async def list_all(
    session: Session,
    page: Annotated[int | None, Query(ge=1)] = None,
    size: Annotated[int | None, Query(ge=1, le=1000)] = None,
) -> Page | list[ConfigOut]:
    """List the configurations, whole or by pages."""
    query = select(Config).order_by(Config.id)
    if page is None or size is None:
        return [ConfigOut.model_validate(row) for row in await session.scalars(query)]
    total = await session.scalar(select(func.count()).select_from(Config)) or 0
    rows = await session.scalars(query.offset((page - 1) * size).limit(size))
    items = [ConfigOut.model_validate(row) for row in rows]
    return Page(items=items, total=total, page=page, size=size, pages=-(-total // size))


@router.get("/{config_id}", response_model=ConfigOut)
async def read(config_id: str, session: Session) -> Config:
    """Read one configuration."""
    return await find_or_404(session, config_id)


@router.put("/{config_id}", response_model=ConfigOut)
async def update(config_id: str, body: ConfigIn, session: Session) -> Config:
    """Replace one configuration."""
    config = await find_or_404(session, config_id)
    config.name, config.tags, config.data = body.name, body.tags, body.data.model_dump(mode="json")
    await session.commit()
    return config


@router.delete("/{config_id}", status_code=204)
async def delete(config_id: str, session: Session) -> None:
    """Delete one configuration."""
    await session.delete(await find_or_404(session, config_id))
    await session.commit()


app = FastAPI(title="Peer", lifespan=lifespan)
app.include_router(router)


@app.get("/health")
async def health(session: Session) -> dict[str, Any]:
    """Say whether the database answers."""
    await session.execute(text("SELECT 1"))
    return {"status": "healthy", "checks": {"database": {"state": "healthy"}}}

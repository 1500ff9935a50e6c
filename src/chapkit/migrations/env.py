"""Run the history on the connection that was handed over, or on the one of `alembic.ini`."""

import asyncio
from typing import Any, cast

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from chapkit.core.faults import reach
from chapkit.core.models import Base
from chapkit.migrations import bundled_tables


def _end_step(**_step: Any) -> None:
    reach("migrate.step-done")


def _migrate(connection: Connection) -> None:
    tables = set(bundled_tables())
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        include_object=lambda thing, _name, kind, _reflected, _other: kind != "table" or thing in tables,
        on_version_apply=cast("Any", _end_step),
    )
    with context.begin_transaction():
        context.run_migrations()


async def _connect_and_migrate() -> None:
    engine = create_async_engine(context.config.get_main_option("sqlalchemy.url") or "")
    async with engine.begin() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


if (handed_over := context.config.attributes.get("connection")) is not None:
    _migrate(handed_over)
else:
    asyncio.run(_connect_and_migrate())

"""The history of the packaged tables."""

from importlib import import_module
from pathlib import Path

from sqlalchemy import Table

HEAD = "0004"
MODEL_MODULES = (
    "chapkit.config.models",
    "chapkit.artifact.models",
    "chapkit.link.models",
    "chapkit.job.models",
    "chapkit.task.models",
    "chapkit.scheduler.models",
)


def bundled_tables() -> list[Table]:
    """Return the tables that chapkit brings, each after those it refers to."""
    # Lazy: this package stands beside the layers and must not tie one of them to those above it.
    from chapkit.core.models import Base

    modules = {import_module(name).__name__ for name in MODEL_MODULES}
    owned = {mapper.local_table for mapper in Base.registry.mappers if mapper.class_.__module__ in modules}
    return [table for table in Base.metadata.sorted_tables if table in owned]


def revisions() -> set[str]:
    """Return every revision of the history."""
    return {path.stem.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py")}

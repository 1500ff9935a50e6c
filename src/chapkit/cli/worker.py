"""`chapkit worker`: run the jobs of a service in a process of their own."""

import os
from collections.abc import Sequence

import click
from fastapi import FastAPI

from chapkit.cli.errors import CommandLineError
from chapkit.cli.loading import load_app, services_of
from chapkit.cli.running import run_until_stopped
from chapkit.core.logging import configure_logging
from chapkit.job.engine import JobEngine
from chapkit.ops.database import DatabaseFeature


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def split(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Return the names in a text with commas between them, each once."""
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if not all(names):
        raise click.BadParameter(f"{value!r} is no list of names with commas between them, such as default,gpu")
    return list(dict.fromkeys(names))


@click.command()
@click.argument("app", metavar="MODULE:APP")
@click.option("--queues", callback=split, metavar="NAME,...", help="Only jobs of these queues; all, if left out.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=processors,
    show_default="number of processors",
    help="Jobs that run at once.",
)
def worker(app: str, queues: list[str] | None, concurrency: int) -> None:
    """Run the jobs of a service in this process, without answering requests.

    MODULE:APP is the same service that is served elsewhere, such as service:app for `app` in service.py. It must use
    the same database. SIGTERM and Ctrl-C let running jobs end for a while and put back those that do not;
    the second one ends the process at once.
    """
    configure_logging()
    service = load_app(app)
    engine = job_engine(service, app)
    require_shared_database(service, app)
    require_queues(engine, queues or (), app)
    engine.configure(concurrency=concurrency, queues=queues)
    run_until_stopped(service, app=app, queues=queues or "all", concurrency=concurrency)


def job_engine(service: FastAPI, target: str) -> JobEngine:
    """Return what runs the jobs of a service.

    Raises:
        CommandLineError: The service has no jobs (`app-without-jobs`).
    """
    services = services_of(service)
    engine = None if services is None else services.find(JobEngine)
    if engine is None:
        raise CommandLineError(f"{target} has no jobs; add .with_jobs() to its builder", code="app-without-jobs")
    return engine


def require_shared_database(service: FastAPI, target: str) -> None:
    """Refuse a database that no other process can reach: nothing would ever come.

    Raises:
        CommandLineError: It lives in the memory of this process (`worker-database-in-memory`).
    """
    services = services_of(service)
    database = None if services is None else services.find(DatabaseFeature)
    if database is not None and database.is_in_memory:
        raise CommandLineError(
            f"{target} has its database in the memory of its own process, so no job of the process that answers "
            "requests could reach this worker; give the builder a file or PostgreSQL: "
            "database_url='sqlite+aiosqlite:///data/demo.db'",
            code="worker-database-in-memory",
        )


def require_queues(engine: JobEngine, names: Sequence[str], target: str) -> None:
    """Refuse names that no queue of the service has: nothing would ever come.

    Raises:
        CommandLineError: There is such a name (`job-queue-unknown`).
    """
    known = [queue.name for queue in engine.queues]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CommandLineError(
            f"{target} has no queue {unknown[0]!r}; it has {', '.join(known)}, "
            f"and more with .with_jobs(queues={{{unknown[0]!r}: None}})",
            code="job-queue-unknown",
            found=unknown[0],
            expected=known,
        )

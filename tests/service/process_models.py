"""Models whose functions run in child processes."""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from chapkit.config.schemas import BaseConfig
from chapkit.data import DataFrame
from chapkit.job.current import current_job
from chapkit.ml import BaseModelRunner


class Options(BaseConfig):
    """How a training goes."""

    folder: str = ""


def train(config: Options, data: DataFrame) -> dict[str, Any]:
    current_job().progress(0.5, "half")
    current_job().log("trained", rows=len(data))
    return {"pid": os.getpid(), "rows": len(data)}


async def predict(config: Options, model: Any, historic: DataFrame, future: DataFrame) -> DataFrame:
    await asyncio.sleep(0)
    return DataFrame(
        columns=[*future.columns, "sample_0", "pid"], data=[[*row, model["rows"], os.getpid()] for row in future.data]
    )


def train_badly(config: Options, data: DataFrame) -> None:
    raise ValueError("3 rows are too few")


def train_and_die(config: Options, data: DataFrame) -> None:
    with open(Path(config.folder, "deaths"), "a") as deaths:
        deaths.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def train_for_ever(config: Options, data: DataFrame) -> None:
    program = subprocess.Popen(["sleep", "600"])
    Path(config.folder, "part").write_text(f"{os.getpid()} {program.pid}")
    os.rename(Path(config.folder, "part"), Path(config.folder, "pids"))
    while True:
        time.sleep(60)


class Scaled(BaseModelRunner[Options]):
    """A runner with a state that travels with its methods."""

    executor = "process"

    async def on_init(self) -> None:
        self.factor = 3

    def on_train(self, config: Options, data: DataFrame) -> Any:
        return {"rows": self.factor * len(data)}

    def on_predict(self, config: Options, model: Any, historic: DataFrame, future: DataFrame) -> DataFrame:
        return DataFrame(columns=[*future.columns, "sample_0"], data=[[*row, model["rows"]] for row in future.data])

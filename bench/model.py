"""The model of the ML rows: column means, and a note of the time that it took itself."""

import os
import time
from typing import Any

import numpy as np
import pandas as pd


def note_time(started: float) -> None:
    """Append the model's own seconds to the file that the benchmark reads."""
    with open(os.environ["BENCH_MODEL_TIMES"], "a", encoding="ascii") as times:
        times.write(f"{time.perf_counter() - started}\n")


def train(config: Any, data: pd.DataFrame, geo: Any = None) -> dict[str, Any]:
    """Return the mean of each column."""
    started = time.perf_counter()
    model = {"columns": [str(name) for name in data.columns], "means": data.to_numpy(dtype=float).mean(axis=0).tolist()}
    note_time(started)
    return model


def predict(
    config: Any, model: dict[str, Any], historic: pd.DataFrame, future: pd.DataFrame, geo: Any = None
) -> pd.DataFrame:
    """Return the future frame, moved by the means."""
    started = time.perf_counter()
    values = future.to_numpy(dtype=float) + np.asarray(model["means"])
    frame = pd.DataFrame(values, columns=model["columns"])
    note_time(started)
    return frame

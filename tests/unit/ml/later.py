"""Functions whose annotations are text, as every module with this import has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas
import pyarrow as arrow

from chapkit.data import DataFrame

if TYPE_CHECKING:
    import polars
    from nowhere import Geometry, Model  # type: ignore[import-not-found]


def train(config: Any, data: arrow.Table, geo: Geometry | None = None) -> Model:
    """The types of `geo` and of what is returned are not there at run time."""


def predict(config: Any, model: Model, historic: DataFrame | None, future: pandas.DataFrame) -> pandas.DataFrame:
    return future


def train_for_the_checker_only(config: Any, data: polars.DataFrame) -> None:
    """Names a type that is not there at run time."""

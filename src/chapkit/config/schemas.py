"""Configurations on the wire."""

from collections.abc import Mapping
from typing import Any, Generic, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypeVar

from chapkit.core.schemas import EntityIn, EntityOut

_NESTED = "user_option_values"


class BaseConfig(BaseModel):
    """Base class of a service's configuration; keys that it does not name are kept."""

    # Documents are stored by the names of the fields, so these must be understood beside aliases.
    model_config = ConfigDict(
        extra="allow",
        allow_inf_nan=False,
        ser_json_timedelta="float",
        validate_by_name=True,
        validate_by_alias=True,
    )

    prediction_periods: int = Field(default=3, description="Periods to predict.")
    additional_continuous_covariates: list[str] = Field(
        default_factory=list[str], description="Columns to use beside the required ones."
    )

    @model_validator(mode="before")
    @classmethod
    def _unpack_user_options(cls, value: Any) -> Any:
        # Older clients send options one level down; a flat one wins.
        if isinstance(value, Mapping) and isinstance(value.get(_NESTED), Mapping):  # pyright: ignore[reportUnknownMemberType]
            flat = dict(cast("Mapping[str, Any]", value))
            return {**flat.pop(_NESTED), **flat}
        return cast("Any", value)


DataT = TypeVar("DataT", bound=BaseConfig, default=BaseConfig)


class ConfigIn(EntityIn, Generic[DataT]):
    """A configuration as a client sends it."""

    name: str = Field(min_length=1, description="Any name; it need not be unique.")
    data: DataT


class ConfigOut(EntityOut, Generic[DataT]):
    """A configuration as the service stores it: complete, with every default."""

    name: str
    data: DataT

"""Polygons of the places that data are about."""

from typing import Annotated, Any, TypeAlias

from geojson_pydantic import Feature, FeatureCollection
from geojson_pydantic.geometries import Geometry
from pydantic import BeforeValidator, ValidationError

_BBOX = "bbox"
_NESTED = frozenset({"features", "geometry", "geometries"})

Place: TypeAlias = Feature[Geometry, dict[str, Any]]


def _drop_null_boxes(value: Any) -> Any:
    """GeoJSON has no null bounding boxes, but widespread clients send them."""
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_drop_null_boxes(item) for item in items]
    if not isinstance(value, dict):
        return value
    members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
    return {
        key: _drop_null_boxes(item) if key in _NESTED else item
        for key, item in members.items()
        if not (key == _BBOX and item is None)
    }


Polygons: TypeAlias = Annotated[FeatureCollection[Place], BeforeValidator(_drop_null_boxes)]


def with_places(document: Any) -> Any:
    """Return a request whose features are objects already, made one after the other so that others get a turn.

    What is malformed is left as it is, for the schema to refuse.
    """
    geo = _member(document, "geo")
    features = _member(geo, "features")
    if not isinstance(features, list):
        return document
    given: list[Any] = features  # pyright: ignore[reportUnknownVariableType]
    try:
        places = [Place.model_validate(_drop_null_boxes(feature)) for feature in given]
    except ValidationError:
        return document
    return {**document, "geo": {**geo, "features": places}}


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

from typing import Any

import pytest
from geojson_pydantic import Feature, FeatureCollection, Polygon
from pydantic import ValidationError

from chapkit.core.ids import ULID
from chapkit.ml import PredictRequest, RunInfo, TrainRequest
from chapkit.ml.polygons import with_places
from chapkit.ml.requests import parse_request
from tests.service.ml_calls import POLYGONS

FRAME: dict[str, Any] = {"columns": [], "data": []}


def train(geo: Any) -> TrainRequest:
    return TrainRequest.model_validate({"config_id": ULID(), "data": FRAME, "geo": geo})


@pytest.mark.parametrize("name", ["artifact_id", "model_artifact_id", "training_artifact_id"])
def test_a_model_is_named_in_three_ways(name: str) -> None:
    id = ULID()
    assert PredictRequest.model_validate({name: id, "future": FRAME}).artifact_id == id


@pytest.mark.parametrize("name", ["prediction_periods", "prediction_length"])
def test_a_horizon_is_named_in_two_ways(name: str) -> None:
    found = RunInfo.model_validate({name: 3, "future_covariate_origin": "x", "unknown": 1})
    assert (found.prediction_periods, found.future_covariate_origin) == (3, "x")
    assert "unknown" not in found.model_dump()


@pytest.mark.parametrize("value", [-1, 2.5, "many"])
def test_a_horizon_is_a_whole_number(value: Any) -> None:
    with pytest.raises(ValidationError):
        RunInfo.model_validate({"prediction_periods": value})


@pytest.mark.parametrize("prepare", [lambda geo: geo, lambda geo: with_places({"geo": geo})["geo"]])
def test_polygons_are_objects_and_their_null_boxes_do_not_matter(prepare: Any) -> None:
    geo = train(prepare(POLYGONS)).geo
    assert isinstance(geo, FeatureCollection)
    place = geo.features[0]
    assert isinstance(place, Feature)
    assert isinstance(place.geometry, Polygon)
    assert (place.id, place.geometry.bbox, place.bbox) == ("Attapeu", None, None)
    assert place.properties == {"name": "Attapeu", "bbox": None, "levels": [1, 2]}


@pytest.mark.parametrize("geo", [None, {"type": "FeatureCollection", "features": []}])
def test_there_may_be_no_polygons(geo: Any) -> None:
    found = train(geo).geo
    assert found is None or found.features == []


@pytest.mark.parametrize(
    "geo", [[], "a", {"features": 1}, {"type": "FeatureCollection"}, {"type": "FeatureCollection", "features": [{}]}]
)
def test_malformed_polygons_are_left_to_the_schema(geo: Any) -> None:
    document = {"geo": geo}
    assert with_places(document) is document
    with pytest.raises(ValidationError):
        train(geo)


def test_a_body_of_another_kind_is_left_to_the_schema() -> None:
    assert parse_request(b"[1]") == [1]
    assert parse_request(b'{"geo": null}') == {"geo": None}

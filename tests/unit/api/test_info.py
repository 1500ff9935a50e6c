import json
from typing import Any

import pytest
from pydantic import ValidationError

from chapkit.api import AssessedStatus, MLServiceInfo, ModelMetadata, PeriodType, ServiceInfo

REVISION = "0123456789abcdef"


def model_info(**changes: Any) -> MLServiceInfo:
    given: dict[str, Any] = {
        "id": "a-model",
        "display_name": "A model",
        "model_metadata": ModelMetadata(),
        "period_type": PeriodType.monthly,
        **changes,
    }
    return MLServiceInfo(**given)


@pytest.fixture(autouse=True)
def _no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_REVISION", raising=False)


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("My Service", "my-service"),
        ("  ÆØÅ model (v2)", "model-v2"),
        ("2 models", "service-2-models"),
        ("模型", "service"),
    ],
)
def test_an_id_is_made_from_the_name(name: str, id: str) -> None:
    assert ServiceInfo(display_name=name).id == id


@pytest.mark.parametrize("id", ["Upper", "two--dashes", "-a", "a-", "a b", "1a", "a_b"])
def test_an_id_is_a_slug(id: str) -> None:
    with pytest.raises(ValidationError):
        ServiceInfo(id=id, display_name="a")
    with pytest.raises(ValidationError):
        model_info(id=id)


def test_a_summary_stands_in_for_a_description() -> None:
    assert ServiceInfo(display_name="a", summary="short").description == "short"
    assert ServiceInfo(display_name="a", summary="short", description="long").description == "long"


def test_unknown_members_are_refused_and_subclasses_may_have_more() -> None:
    class Own(ServiceInfo):
        region: str

    assert Own(display_name="a", region="b").model_dump()["region"] == "b"
    with pytest.raises(ValidationError):
        ServiceInfo(display_name="a", region="b")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        ModelMetadata(autor="a")  # type: ignore[call-arg]


def test_a_model_needs_an_id() -> None:
    with pytest.raises(ValidationError):
        MLServiceInfo(display_name="a", model_metadata=ModelMetadata(), period_type=PeriodType.any)  # type: ignore[call-arg]


def test_a_model_is_described_by_eleven_members() -> None:
    info = model_info(target="deaths", hpo_search_space={"a": 1}, summary="s", contact={"a": "b"})
    document = json.loads(info.model_dump_json())
    assert list(document) == [
        "id",
        "display_name",
        "version",
        "description",
        "model_metadata",
        "period_type",
        "min_prediction_periods",
        "max_prediction_periods",
        "allow_free_additional_continuous_covariates",
        "required_covariates",
        "requires_geo",
    ]
    assert (document["version"], document["description"], document["period_type"]) == ("1.0.0", "s", "monthly")
    assert (document["min_prediction_periods"], document["max_prediction_periods"]) == (0, 100)
    assert (info.target, info.hpo_search_space) == ("deaths", {"a": 1})


def test_a_known_revision_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_info(git_revision=REVISION).model_dump()["git_revision"] == REVISION
    monkeypatch.setenv("GIT_REVISION", REVISION)
    assert model_info().model_dump()["git_revision"] == REVISION
    assert model_info(git_revision="abcdef0").git_revision == "abcdef0"


@pytest.mark.parametrize("text", ["", "main", "012345", "0" * 41, "0123456789abcdeg", "0123456\n"])
def test_what_is_no_revision_is_not_told(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GIT_REVISION", text)
    assert "git_revision" not in model_info().model_dump()
    if text:
        with pytest.raises(ValidationError):
            model_info(git_revision=text)
    else:
        assert model_info(git_revision=text).git_revision is None


def test_bounds_of_the_horizon_have_an_order() -> None:
    assert model_info(min_prediction_periods=3, max_prediction_periods=3).max_prediction_periods == 3
    with pytest.raises(ValidationError, match="min_prediction_periods"):
        model_info(min_prediction_periods=4, max_prediction_periods=3)
    with pytest.raises(ValidationError):
        model_info(min_prediction_periods=-1)


def test_metadata_are_checked_and_written_as_plain_text() -> None:
    metadata = ModelMetadata(
        author="a",
        author_assessed_status=AssessedStatus("orange"),
        contact_email="a@example.org",
        organization_logo_url="https://example.org/logo.png",  # type: ignore[arg-type]
    )
    document = json.loads(metadata.model_dump_json())
    assert (document["author_assessed_status"], document["contact_email"]) == ("orange", "a@example.org")
    assert document["organization_logo_url"] == "https://example.org/logo.png"
    for wrong in ({"contact_email": "nobody"}, {"organization_logo_url": "logo"}, {"author_assessed_status": "blue"}):
        with pytest.raises(ValidationError):
            ModelMetadata.model_validate(wrong)


def test_every_period_and_status_that_platforms_know_is_there() -> None:
    assert [str(period) for period in PeriodType] == ["weekly", "monthly", "any"]
    assert [str(status) for status in AssessedStatus] == ["gray", "red", "orange", "yellow", "green"]

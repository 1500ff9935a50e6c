from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.job.schemas import ChapkitJobRecord, JobRecord, JobSpec, JobStatus


@pytest.mark.parametrize(
    ("status", "final"),
    [("pending", False), ("running", False), ("completed", True), ("failed", True), ("canceled", True)],
)
def test_a_status_says_whether_it_is_final(status: str, final: bool) -> None:
    assert JobStatus(status).is_final is final


def test_a_record_needs_an_id_and_a_status_only() -> None:
    record = JobRecord.model_validate({"id": str(ULID()), "status": "running"})
    assert record.artifact_id is None
    assert record.attempt == 0


def test_a_record_keeps_the_order_that_older_clients_know() -> None:
    assert list(JobRecord.model_fields)[:8] == [
        "id",
        "status",
        "submitted_at",
        "started_at",
        "finished_at",
        "error",
        "error_traceback",
        "artifact_id",
    ]


def test_the_older_name_is_the_same_class() -> None:
    assert ChapkitJobRecord is JobRecord


def test_two_specs_do_not_share_a_payload() -> None:
    assert JobSpec(handler="a").payload is not JobSpec(handler="a").payload


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concurrency_limit", 0),
        ("concurrency_limit", 2**31),
        ("priority", 10**30),
        ("priority", -(2**31)),
        ("run_after", datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))),
        ("queue_timeout", float("nan")),
    ],
)
def test_a_spec_that_no_database_takes_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name) as refused:
        JobSpec(**{"handler": "a", name: value})
    assert (refused.value.code, refused.value.extensions["field"]) == ("job-spec-invalid", name)

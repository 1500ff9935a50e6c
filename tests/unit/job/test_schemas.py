import pytest

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

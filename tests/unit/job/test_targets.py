from typing import Any, ClassVar

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.job.current import current_job, find_current_job
from chapkit.job.targets import JobTarget, JobTargets


class Target(JobTarget):
    """Is never submitted."""

    name: ClassVar[str] = "test.target"

    async def check(self, scope: Any, arguments: Any) -> None: ...

    async def spec(self, scope: Any, arguments: Any) -> Any: ...


def test_names_of_what_can_be_submitted_are_unique() -> None:
    targets = JobTargets()
    targets.add(Target())
    with pytest.raises(ConfigurationError, match=r"two things .* 'test\.target'") as caught:
        targets.add(Target())
    assert caught.value.code == "job-target-duplicate"


def test_who_works_for_no_job_has_none() -> None:
    assert find_current_job() is None
    with pytest.raises(ConfigurationError) as caught:
        current_job()
    assert caught.value.code == "no-running-job"

"""Trainings and predictions that something else submits, a schedule for instance."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ValidationError
from pydantic_core import to_json

from chapkit.core.errors import UnprocessableError
from chapkit.core.services import Scope
from chapkit.job.schemas import JobSpec
from chapkit.job.targets import JobTarget
from chapkit.ml.handlers import TRAIN, handler_name
from chapkit.ml.schemas import PredictRequest, TrainRequest
from chapkit.ml.submission import RunSubmitter, Submission


class RunTarget(JobTarget):
    """One step of one runner; the arguments are what its route takes."""

    name: ClassVar[str]

    def __init__(self, step: str, submitter: RunSubmitter) -> None:
        self._step = step
        self._submitter = submitter

    @classmethod
    def of(cls, step: str, runner: str | None, submitter: RunSubmitter) -> "RunTarget":
        """Return the target with the name that the jobs of this step have."""
        named: type[RunTarget] = type(cls.__name__, (cls,), {"name": handler_name(step, runner)})
        return named(step, submitter)

    async def spec(self, scope: Scope, arguments: Mapping[str, Any]) -> JobSpec:
        """Return the job of a training or a prediction with this request.

        Raises:
            UnprocessableError: The request is malformed (`target-arguments-invalid`), or cannot be carried out.
            NotFoundError: Its configuration or model is gone.
        """
        if self._step == TRAIN:
            return await self._submitter.training(_submission(TrainRequest, arguments))
        return await self._submitter.prediction(_submission(PredictRequest, arguments))


def _submission(schema: type[TrainRequest] | type[PredictRequest], arguments: Mapping[str, Any]) -> Submission:
    try:
        request: Any = schema.model_validate(dict(arguments))
    except ValidationError as error:
        raise UnprocessableError(
            f"The arguments are no {schema.__name__}: {_first(error)}",
            code="target-arguments-invalid",
            errors=[_plain(each) for each in error.errors(include_url=False, include_context=False)],
        ) from error
    return Submission(request, to_json(arguments))


def _first(error: ValidationError) -> str:
    each = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}"


def _plain(each: Mapping[str, Any]) -> dict[str, Any]:
    return {"loc": ["arguments", *each["loc"]], "msg": each["msg"], "type": each["type"]}

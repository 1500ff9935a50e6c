"""Trainings and predictions that something else submits, a schedule for instance."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from pydantic import AliasChoices, ValidationError
from pydantic_core import to_json

from chapkit.core.errors import UnprocessableError
from chapkit.core.services import Scope
from chapkit.job.schemas import JobSpec
from chapkit.job.targets import JobTarget, JobTargets
from chapkit.ml.handlers import TRAIN, handler_name
from chapkit.ml.schemas import PredictRequest, TrainRequest
from chapkit.ml.submission import RunSubmitter, Submission

_MOST_TOLD = 20
_Schema: TypeAlias = type[TrainRequest] | type[PredictRequest]


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
        schema = TrainRequest if self._step == TRAIN else PredictRequest
        known = _members(schema)
        if strange := [name for name in arguments if name not in known]:
            runners = [name for name in scope.services.get(JobTargets).names if name.partition(":")[0] == self._step]
            raise _invalid(schema, [_unknown(name, arguments[name], known, runners) for name in strange[:_MOST_TOLD]])
        sent = _submission(schema, arguments)
        return await (self._submitter.training(sent) if self._step == TRAIN else self._submitter.prediction(sent))


def _members(schema: _Schema) -> Collection[str]:
    """Return the names that a request has, older spellings too."""
    names: list[str] = []
    for name, field in schema.model_fields.items():
        alias = field.validation_alias
        names += map(str, alias.choices) if isinstance(alias, AliasChoices) else [name]
    return names


def _submission(schema: _Schema, arguments: Mapping[str, Any]) -> Submission:
    try:
        request: Any = schema.model_validate(dict(arguments))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise _invalid(schema, [_plain(each["loc"], each["msg"], each["type"]) for each in found]) from error
    return Submission(request, to_json(arguments))


def _unknown(name: str, value: Any, known: Collection[str], runners: Sequence[str]) -> dict[str, Any]:
    # Lazy: only what is refused needs it.
    from chapkit.task.errors import did_you_mean, nearest

    hint = _hint_of_runner(value, runners) if name == "runner" else did_you_mean(nearest(name, known))
    return _plain([name], f"There is no such member{hint}", "extra_forbidden")


def _hint_of_runner(value: Any, runners: Sequence[str]) -> str:
    wanted = next((name for name in runners if name.partition(":")[2] == value), None)
    if wanted is not None:
        return f"; the runner {value!r} is the target {wanted!r}"
    return f"; each runner is a target of its own: {', '.join(map(repr, runners))}"


def _invalid(schema: _Schema, errors: Sequence[dict[str, Any]]) -> UnprocessableError:
    first = errors[0]
    where = ".".join(map(str, first["loc"][1:])) or "the whole"
    return UnprocessableError(
        f"The arguments are no {schema.__name__}: {where}: {first['msg']}",
        code="target-arguments-invalid",
        field=first["field"],
        errors=list(errors),
    )


def _plain(path: Sequence[int | str], says: str, kind: str) -> dict[str, Any]:
    loc = ["arguments", *path]
    return {"loc": loc, "msg": says, "type": kind, "field": ".".join(map(str, loc))}

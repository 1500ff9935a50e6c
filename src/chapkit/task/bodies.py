"""What clients send, refused name by name."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Self, TypeAlias, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

Problem: TypeAlias = tuple[str, tuple[int | str, ...], str, Any]
"""The type of an error, where it is, what it says, and what was found."""
_UNKNOWN = "extra_forbidden"
_MOST_HINTS = 20


class StrictBody(BaseModel):
    """A body that says of a member it does not know which one may have been meant."""

    model_config = ConfigDict(extra="forbid")

    told: ClassVar[Collection[str]] = ()
    """Members of the answer that only the service sets; a body that was read before may have them, to no effect."""

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls.told and isinstance(value, dict):
            body = cast("dict[str, Any]", value)
            value = {name: body[name] for name in body if name not in cls.told}
        try:
            return handler(value)
        except ValidationError as error:
            found = error.errors(include_url=False)
            if not any(_is_own(each) for each in found):
                raise
            # Looking for a name takes a while, and nobody mistypes hundreds.
            known = [list(cls.model_fields) if index < _MOST_HINTS else [] for index in range(len(found))]
            raise refused(cls, map(_problem, found, known)) from None


class NoMembers(StrictBody):
    """A body that has nothing to say."""


def told_only(answer: type[BaseModel], body: type[BaseModel]) -> frozenset[str]:
    """Return the members that an answer has and a body has not."""
    return frozenset(answer.model_fields) - frozenset(body.model_fields)


def refuse_told(kind: type[StrictBody], changes: Mapping[str, Any]) -> None:
    """Go on, if the changes want nothing of what only the service sets.

    Raises:
        ValidationError: They do.
    """
    says = "Only the service sets this member; leave it out"
    problems = [("read_only", (name,), says, value) for name, value in changes.items() if name in kind.told]
    if problems:
        raise refused(kind, problems)


def refused(kind: type[BaseModel], problems: Iterable[Problem]) -> ValidationError:
    """Return the error of a body, as Pydantic itself raises it."""
    details: list[InitErrorDetails] = []
    for type_, where, says, found in problems:
        # Any: what it says was made here or by Pydantic, so it is as good as literal.
        error: Any = PydanticCustomError
        details.append(InitErrorDetails(type=error(type_, "{says}", {"says": says}), loc=where, input=found))
    return ValidationError.from_exception_data(kind.__name__, details)


def unknown(name: str, known: Collection[str], thing: str = "member") -> str:
    """Return what is said of a name that is not known."""
    # Lazy: only what is refused needs it.
    from chapkit.task.errors import did_you_mean, nearest

    return f"There is no such {thing}{did_you_mean(nearest(name, known))}"


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is expected, not true or false")
    return value


NUMBER = BeforeValidator(_no_truth_value)
"""For members that are numbers: a truth value is one for Python, but for nobody else."""


def _is_own(error: Any) -> bool:
    return error["type"] == _UNKNOWN and len(error["loc"]) == 1


def _problem(error: Any, known: Collection[str]) -> Problem:
    says = unknown(error["loc"][0], known) if _is_own(error) else error["msg"]
    return error["type"], error["loc"], says, error["input"]

"""The parameters of a function that users send: checked as JSON, converted to what the function wants."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, from_json, to_json

from chapkit.core.errors import ConfigurationError
from chapkit.task.errors import TaskParametersError, did_you_mean, full_name, nearest
from chapkit.task.serializers import QuietJsonSchema, Serializers
from chapkit.task.signatures import NOTHING, Function, FunctionParameter, FunctionSignature, read_signature

_SURPLUS: Final = "**"
_MAX_FOUND: Final = 200
_SHOULD_BE: Final = "Input should be "
_CONFIG: Final = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True)
class CallArguments:
    """What a function is called with."""

    by_place: Sequence[Any] = ()
    by_name: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Parameters:
    """What a function wants to be sent; read once, when the service is built."""

    def __init__(
        self, signature: FunctionSignature, injected: Collection[str] = (), serializers: Serializers | None = None
    ) -> None:
        self._signature = signature
        self._serializers = serializers or Serializers.for_service()
        self.injected = frozenset(injected)
        """Names that the service itself brings."""
        own = [each for each in signature.parameters if each.name not in self.injected]
        self._own = {each.name: each for each in own if each.kind != "surplus"}
        self._takes_surplus = any(each.kind == "surplus" for each in own)
        self._fields = {f"p{number}": each for number, each in enumerate(own)}
        self._model = self._make_model()

    @classmethod
    def of(
        cls, function: Function, injected: Collection[str] = (), serializers: Serializers | None = None
    ) -> "Parameters":
        """Return the parameters of a function, without those that the service itself brings.

        Raises:
            ConfigurationError: They cannot be read (`task-signature-invalid`), an annotation names what cannot be found
                (`task-annotation-unresolved`), or no JSON value fits it (`task-parameter-type-unknown`).
        """
        return cls(read_signature(function), injected, serializers)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that users can send, apart from those that `**kwargs` takes."""
        return tuple(self._own)

    def check(self, values: Mapping[str, Any] | None, *, at: str = "", complete: bool = True) -> dict[str, Any]:
        """Return the values as plain JSON, if the function could be called with them.

        Args:
            values: What was sent; other values than JSON become JSON.
            at: What comes before the names in the paths of errors, such as `parameters`.
            complete: Whether those without a default must be there.

        Raises:
            TaskParametersError: Something is missing, unknown or of another type (`task-parameters-invalid`).
        """
        plain, _ = self._checked(values, at, complete)
        return plain

    def fill(self, values: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the values as plain JSON with every default that JSON can carry; equal calls give equal documents.

        Raises:
            TaskParametersError: The function cannot be called with them (`task-parameters-invalid`).
        """
        _, model = self._checked(values, "", True)
        filled: dict[str, Any] = {}
        for name, parameter in self._fields.items():
            value = getattr(model, name)
            if parameter.kind == "surplus":
                filled.update(self._serializers.to_json(value))
            elif name in model.model_fields_set or not _is_odd(parameter.default, self._serializers):
                filled[parameter.name] = self._serializers.to_json(value, parameter.name)
        return filled

    def convert(self, values: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the values in the types of the annotations; what was not sent is left to the function's defaults.

        A value for an injected parameter, which older releases stored, is passed over: it never overrides.

        Raises:
            TaskParametersError: The function cannot be called with them (`task-parameters-invalid`).
        """
        given = {name: value for name, value in (values or {}).items() if name not in self.injected}
        _, model = self._checked(given, "", True)
        converted: dict[str, Any] = {}
        for name, parameter in self._fields.items():
            if parameter.kind == "surplus":
                converted.update(getattr(model, name))
            elif name in model.model_fields_set or isinstance(parameter.default, FieldInfo):
                converted[parameter.name] = getattr(model, name)
        return converted

    def arguments(self, values: Mapping[str, Any]) -> CallArguments:
        """Return how the function is called with converted and injected values."""
        by_name, by_place = dict(values), list[Any]()
        for parameter in self._signature.parameters:
            if parameter.kind != "positional":
                continue
            if parameter.name not in by_name and parameter.default is NOTHING:
                break
            by_place.append(by_name.pop(parameter.name, parameter.default))
        return CallArguments(by_place, by_name)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what can be sent."""
        return {**self._schema}

    @cached_property
    def _schema(self) -> dict[str, Any]:
        schema = self._model.model_json_schema(schema_generator=QuietJsonSchema)
        properties: dict[str, Any] = schema.setdefault("properties", {})
        surplus = properties.pop(_SURPLUS, None)
        if surplus is not None:
            schema["additionalProperties"] = surplus.get("additionalProperties", True)
        return schema

    def _make_model(self) -> type[BaseModel]:
        fields: dict[str, Any] = {}
        for name, parameter in self._fields.items():
            problem = self._serializers.problem_of(parameter.annotation)
            if problem is not None:
                raise self._unreadable(parameter, problem)
            readable = self._serializers.readable(parameter.annotation)
            if parameter.kind == "surplus":
                fields[name] = (dict[str, readable], Field(default_factory=dict, alias=_SURPLUS))
            else:
                fields[name] = (readable, _field_of(parameter))
        try:
            return create_model(self._signature.label.rpartition(".")[2], __config__=_CONFIG, **fields)
        except (PydanticUserError, TypeError) as error:
            raise self._unreadable(next(iter(self._fields.values())), str(error).partition("\n")[0]) from error

    def _checked(self, values: Mapping[str, Any] | None, at: str, complete: bool) -> tuple[dict[str, Any], BaseModel]:
        plain: dict[str, Any] = self._serializers.to_json(values or {}, at)
        own = {name: value for name, value in plain.items() if name in self._own}
        surplus = {name: value for name, value in plain.items() if name not in self._own}
        errors = [] if self._takes_surplus else [self._unknown(name, value, at) for name, value in surplus.items()]
        injected = [self._injected(name, value, at) for name, value in surplus.items() if name in self.injected]
        errors = [*injected, *errors] if self._takes_surplus else errors
        document = {**own, _SURPLUS: surplus} if self._takes_surplus else own
        try:
            # As JSON, because strict types take a text for a date there, and only there.
            model = self._model.model_validate_json(to_json(document))
        except ValidationError as error:
            details = error.errors(include_url=False)
            errors += [
                self._describe(each, at) for each in details if complete or not _is_missing(each)
            ]
            model = self._model.model_construct()
        if errors:
            raise TaskParametersError(self._signature.label, errors)
        return plain, model

    def _describe(self, error: ErrorDetails, at: str) -> dict[str, Any]:
        names = [part for part in error["loc"] if part != _SURPLUS]
        message = error["msg"]
        context = error.get("ctx", {})
        expected = context.get("expected", message.removeprefix(_SHOULD_BE))
        found = repr(error["input"])
        if _is_missing(error):
            message = f"'{names[0]}' is missing"
            expected, found = self._expected(str(names[0])), "nothing"
        return _entry(at, names, message, error["type"], found, expected)

    def _expected(self, name: str) -> str:
        annotation = self._own[name].annotation
        return "any JSON" if annotation is Any else full_name(annotation)

    def _unknown(self, name: str, value: Any, at: str) -> dict[str, Any]:
        if name in self.injected:
            return self._injected(name, value, at)
        near = nearest(name, self.names)
        message = f"There is no parameter '{name}'{did_you_mean(near)}"
        entry = _entry(at, [name], message, "parameter_unknown", repr(value), list(self.names))
        return {**entry, "did_you_mean": near}

    def _injected(self, name: str, value: Any, at: str) -> dict[str, Any]:
        message = f"'{name}' is brought by the service and cannot be sent; leave it out"
        return _entry(at, [name], message, "parameter_injected", repr(value), list(self.names))

    def _unreadable(self, parameter: FunctionParameter, problem: str) -> ConfigurationError:
        signature = self._signature
        return ConfigurationError(
            f"No JSON value fits the parameter '{parameter.name}' of {signature.label} ({signature.place}), which is of "
            f"the type {full_name(parameter.annotation)}: {problem}; say how one is read with register_serializer(...)",
            code="task-parameter-type-unknown",
            function=signature.label,
            place=signature.place,
            parameter=parameter.name,
        )


def _field_of(parameter: FunctionParameter) -> FieldInfo:
    # Pydantic reserves some names that functions may use, so the fields have numbers.
    alias: dict[str, Any] = {each: parameter.name for each in ("alias", "validation_alias", "serialization_alias")}
    if isinstance(parameter.default, FieldInfo):
        return FieldInfo.merge_field_infos(parameter.default, alias_priority=2, **alias)
    if parameter.default is not NOTHING:
        return _field(default=parameter.default, **alias)
    return _field(**alias) if parameter.is_required else _field(default=None, **alias)


def _field(**options: Any) -> FieldInfo:
    made: FieldInfo = Field(**options)
    return made

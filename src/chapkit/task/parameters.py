"""The parameters of a function that users send: checked as JSON, converted to what the function wants."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, SchemaError, to_json

from chapkit.core.error_text import text_of
from chapkit.core.errors import ConfigurationError
from chapkit.task import parameter_errors
from chapkit.task.errors import TaskParametersError, ValueNotSerializableError, full_name
from chapkit.task.serializers import QuietJsonSchema, Serializers
from chapkit.task.signatures import NOTHING, Function, FunctionParameter, FunctionSignature, read_signature

_SURPLUS: Final = "**"
_NO_MODEL: Final = (PydanticUserError, SchemaError, TypeError)
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
            elif name in model.model_fields_set:
                filled[parameter.name] = self._serializers.to_json(value, parameter.name)
            elif parameter.default is not NOTHING:
                with suppress(ValueNotSerializableError):
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
            readable: Any = self._serializers.readable(parameter.annotation)
            if parameter.kind == "surplus":
                fields[name] = (dict.__class_getitem__((str, readable)), Field(default_factory=dict, alias=_SURPLUS))
            else:
                fields[name] = _field_of(parameter, readable)
        name = self._signature.label.rpartition(".")[2]
        try:
            return create_model(name, __config__=_CONFIG, **fields)
        except _NO_MODEL as error:
            broken = next(each for each, definition in fields.items() if not _is_possible(definition))
            raise self._unreadable(self._fields[broken], text_of(error).partition("\n")[0]) from error

    def _checked(self, values: Mapping[str, Any] | None, at: str, complete: bool) -> tuple[dict[str, Any], BaseModel]:
        plain: dict[str, Any] = self._serializers.to_json(values or {}, at)
        path = (at,) if at else ()
        document: dict[str, Any] = {}
        surplus: dict[str, Any] = {}
        errors: list[dict[str, Any]] = []
        for name, value in plain.items():
            if name in self._own:
                document[name] = value
            elif name in self.injected:
                errors.append(parameter_errors.injected((*path, name), value))
            elif self._takes_surplus:
                surplus[name] = value
            else:
                errors.append(parameter_errors.unknown((*path, name), value, self.names))
        if self._takes_surplus:
            document[_SURPLUS] = surplus
        try:
            # As JSON, because strict types take a text for a date there, and only there.
            model = self._model.model_validate_json(to_json(document))
        except ValidationError as error:
            found = [each for each in error.errors(include_url=False) if complete or not self._is_missing(each)]
            errors += [self._describe(each, path) for each in found]
            model = self._model.model_construct()
        if errors:
            raise TaskParametersError(self._signature.label, errors)
        return plain, model

    def _is_missing(self, error: ErrorDetails) -> bool:
        return error["type"] == parameter_errors.MISSING and len(error["loc"]) == 1

    def _describe(self, error: ErrorDetails, path: Sequence[str]) -> dict[str, Any]:
        place = (*path, *(part for part in error["loc"] if part != _SURPLUS))
        if not self._is_missing(error):
            return parameter_errors.invalid(error, place)
        annotation = self._own[str(place[-1])].annotation
        return parameter_errors.missing(place, "any JSON" if annotation is Any else full_name(annotation))

    def _unreadable(self, parameter: FunctionParameter, problem: str) -> ConfigurationError:
        signature = self._signature
        return ConfigurationError(
            f"No JSON value fits the parameter '{parameter.name}' of {signature.label} ({signature.place}) of the type "
            f"{full_name(parameter.annotation)}: {problem}; say how one is read with register_serializer(...)",
            code="task-parameter-type-unknown",
            function=signature.label,
            place=signature.place,
            parameter=parameter.name,
        )


def _field_of(parameter: FunctionParameter, readable: Any) -> tuple[Any, Any]:
    # Pydantic reserves some names that functions may use, so the fields have numbers.
    alias: dict[str, Any] = dict.fromkeys(("alias", "validation_alias", "serialization_alias"), parameter.name)
    if isinstance(parameter.default, FieldInfo):
        return Annotated[readable, parameter.default], Field(**alias)
    if parameter.default is not NOTHING:
        return readable, Field(default=parameter.default, **alias)
    if parameter.is_required:
        return readable, Field(**alias)
    return readable, Field(default=None, json_schema_extra=_forget_default, **alias)


def _is_possible(definition: tuple[Any, Any]) -> bool:
    try:
        create_model("Alone", __config__=_CONFIG, field=definition)
    except _NO_MODEL:
        return False
    return True


def _forget_default(schema: dict[str, Any]) -> None:
    del schema["default"]

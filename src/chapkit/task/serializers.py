"""Values by type: what they are in JSON, and what is made of that JSON again; nothing is ever pickled."""

import dataclasses
import threading
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, NotRequired, Required, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typing_extensions import TypedDict

from chapkit.core.error_text import name_and_text
from chapkit.core.errors import ChapkitError, ConfigurationError
from chapkit.task.errors import full_name
from chapkit.task.foreign_values import foreign_reader, foreign_writer
from chapkit.task.json_values import JsonValues, Writer

T = TypeVar("T")
_READABLE: Final = frozenset({type(None), None, bool, int, float, str, list, dict, tuple, Any})


class QuietJsonSchema(GenerateJsonSchema):
    """JSON Schema without a word on defaults that JSON cannot carry: they are left out."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}


@dataclasses.dataclass(frozen=True, eq=False)
class Serializer:
    """How values of one type become JSON and come back; in an annotation it teaches that to Pydantic."""

    kind: Any
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]
    name: str
    schema: Mapping[str, Any] | None = None
    """JSON Schema of what `to_json` returns."""

    def read(self, value: Any) -> Any:
        """Return the value that the JSON stands for."""
        if isinstance(self.kind, type) and isinstance(value, self.kind):
            return value
        try:
            return self.from_json(value)
        except (ValidationError, PydanticCustomError):
            raise
        except Exception as error:
            # Whatever it is: the JSON is not one of this type.
            text = error.detail if isinstance(error, ChapkitError) else name_and_text(error)
            raise PydanticCustomError(
                "not_deserializable",
                "Input should be {name}: {text}",
                {
                    "name": self.name,
                    "text": text,
                    "expected": self.name,
                },
            ) from error

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"title": self.name} if self.schema is None else dict(self.schema)


class Serializers:
    """The types of one service that JSON does not know; each service starts with those of `register_serializer`."""

    shared: ClassVar["Serializers"]
    """What modules have registered when they were imported."""

    def __init__(self, given: Iterable[Serializer] = ()) -> None:
        self._lock = threading.Lock()
        self._by_type: dict[Any, Serializer] = {each.kind: each for each in given}
        self._values = JsonValues(self._writer)

    @classmethod
    def for_service(cls) -> "Serializers":
        """Return serializers of a service's own, with those that modules have registered so far."""
        with cls.shared._lock:
            return cls(cls.shared._by_type.values())

    def register(
        self,
        kind: type[T],
        to_json: Callable[[T], Any],
        from_json: Callable[[Any], T],
        *,
        name: str | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        """Say how values of a type become JSON, and how they come back.

        Args:
            kind: The class; values of its subclasses are written in the same way.
            to_json: Returns anything that can be written.
            from_json: Gets what JSON held; whatever it raises means that it is no such value.
            name: What the type is called for clients; the name of the class, if not given.
            schema: JSON Schema of what `to_json` returns.

        Raises:
            ConfigurationError: It is no class, or another one has this name (`serializer-invalid`).
        """
        if not isinstance(kind, type):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _invalid(f"a serializer is registered for a class; found {kind!r:.100}")
        if not (callable(to_json) and callable(from_json)):
            raise _invalid(f"the serializer of {full_name(kind)} needs two functions, to_json and from_json")
        serializer = Serializer(kind, to_json, from_json, name or kind.__name__, schema)
        with self._lock:
            for other in self._by_type.values():
                if other.name == serializer.name and full_name(other.kind) != full_name(kind):
                    raise _invalid(
                        f"{full_name(kind)} and {full_name(other.kind)} both are called {other.name!r}; "
                        "give one of them another name"
                    )
            self._by_type[kind] = serializer

    def to_json(self, value: Any, path: str = "") -> Any:
        """Return the value as JSON values: mappings, lists, texts, numbers, booleans, `None`.

        Args:
            value: Anything.
            path: What the value is called in an error.

        Raises:
            ValueNotSerializableError: Nobody has said how (`value-not-serializable`).
            UnprocessableError: A number is not finite (`number-not-finite`).
        """
        return self._values.write(value, path)

    def from_json(self, annotation: Any, value: Any) -> Any:
        """Return the value of this type that the JSON value stands for.

        Raises:
            pydantic.ValidationError: There is none.
        """
        adapter: TypeAdapter[Any] = TypeAdapter(self.readable(annotation))
        return adapter.validate_python(value)

    def problem_of(self, annotation: Any) -> str | None:
        """Return why no value of this type can be sent as JSON; `None`, if it can."""
        try:
            if annotation in _READABLE:
                return None
        except TypeError:
            # Not hashable, such as Annotated[int, []].
            pass
        while typing.get_origin(annotation) is Annotated:
            # What stands there may have a meaning for a field only.
            annotation = typing.get_args(annotation)[0]
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(self.readable(annotation))
            adapter.json_schema(schema_generator=QuietJsonSchema)
        except PydanticUserError as error:
            return str(error).partition("\n")[0].partition(". Set `arbitrary")[0]
        return None

    def readable(self, annotation: Any) -> Any:
        """Return the annotation with serializers wherever Pydantic would be at a loss."""
        origin: Any = typing.get_origin(annotation)
        if origin is Annotated:
            inner, *metadata = typing.get_args(annotation)
            return Annotated[(self.readable(inner), *metadata)]
        reader = self._reader(annotation, origin or annotation)
        if reader is not None:
            return Annotated[annotation, reader]
        if typing.is_typeddict(annotation):
            return self._readable_mapping(annotation)
        arguments: tuple[Any, ...] = typing.get_args(annotation)
        if not arguments or origin is typing.Literal:
            return annotation
        changed: tuple[Any, ...] = tuple(map(self.readable, arguments))
        if all(new is old for new, old in zip(changed, arguments, strict=True)):
            return annotation
        return typing.Union[changed] if origin in (typing.Union, types.UnionType) else origin[changed]  # noqa: UP007

    def _readable_mapping(self, kind: Any) -> Any:
        """Return the same as Pydantic wants it, which cannot tell what is required of others before Python 3.12."""
        hints = typing.get_type_hints(kind, include_extras=True)
        members: dict[str, Any] = {}
        for name, written in hints.items():
            annotation = written
            while typing.get_origin(annotation) in (Required, NotRequired):
                annotation = typing.get_args(annotation)[0]
            wrapper: Any = Required if name in kind.__required_keys__ else NotRequired
            members[name] = wrapper[self.readable(annotation)]
        make: Any = TypedDict
        return make(kind.__name__, members)

    def _reader(self, annotation: Any, kind: Any) -> Serializer | None:
        if not isinstance(kind, type):
            return None
        own = self._by_type.get(kind)
        if own is not None:
            return own
        foreign = foreign_reader(annotation, kind)
        if foreign is None:
            return None
        read, schema = foreign
        return Serializer(kind, self.to_json, read, kind.__name__, schema)

    def _writer(self, kind: type[Any]) -> Writer | None:
        own = next((self._by_type[each] for each in kind.__mro__ if each in self._by_type), None)
        return foreign_writer(kind) if own is None else own.to_json


Serializers.shared = Serializers()


def register_serializer(
    kind: type[T],
    to_json: Callable[[T], Any],
    from_json: Callable[[Any], T],
    *,
    name: str | None = None,
    schema: Mapping[str, Any] | None = None,
) -> None:
    """Say for every service that is built from now on how values of a type become JSON, and how they come back."""
    Serializers.shared.register(kind, to_json, from_json, name=name, schema=schema)


def _invalid(detail: str) -> ConfigurationError:
    return ConfigurationError(detail[:1].upper() + detail[1:], code="serializer-invalid")

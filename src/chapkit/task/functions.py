"""The functions of one service, ready to be called: parameters checked, things injected."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chapkit.core.errors import ConfigurationError
from chapkit.task.cache import Cache
from chapkit.task.calls import BoundFunction
from chapkit.task.catalogue import Catalogue
from chapkit.task.declaration import Declaration
from chapkit.task.errors import did_you_mean, full_name, nearest
from chapkit.task.injection import Providers
from chapkit.task.parameters import Parameters
from chapkit.task.refusals import CommandUnknownError
from chapkit.task.results import Kept
from chapkit.task.schemas import TaskFunctionOut
from chapkit.task.serializers import Serializers
from chapkit.task.signatures import innermost, label_of

_AT = "parameters"


class TaskFunction:
    """A function of the service."""

    def __init__(self, bound: BoundFunction) -> None:
        self.bound = bound
        self.declaration = bound.declaration
        self.parameters = bound.parameters
        self._cache = _checked_cache(bound.declaration, bound.parameters)

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as plain JSON, if the function could be called with them.

        Raises:
            TaskParametersError: It could not (`task-parameters-invalid`).
        """
        return self.parameters.check(values, at=_AT)

    def kept(self, values: Mapping[str, Any]) -> Kept | None:
        """Return which kept result would do instead of a call; `None` if the function's results are not kept."""
        if self._cache is None:
            return None
        declared = self.declaration
        key = self._cache.key_of(declared.name, declared.code_version, self.parameters.fill(values))
        return Kept(key, declared.name, self._cache)

    def describe(self) -> TaskFunctionOut:
        """Return what clients are told of it."""
        declared = self.declaration
        injections = self.bound.plan.injections
        return TaskFunctionOut(
            name=declared.name,
            type=declared.type,
            signature=_signature_text(declared),
            doc=declared.doc,
            parameters=self.parameters.json_schema(),
            injected={each.name: full_name(each.provider.kind) for each in injections if each.provider is not None},
            version=declared.version,
            code_version=declared.code_version,
            on_code_change=declared.on_code_change,
            tags=list(declared.tags),
            executor=declared.executor,
            queue=declared.queue,
            timeout=declared.timeout,
            retry=None if declared.retry is None else asdict(declared.retry),
            cache=None if self._cache is None else _describe_cache(self._cache),
        )


class TaskFunctions:
    """All functions of the service; they are there once `bind` was called, when every feature has registered."""

    def __init__(self, catalogue: Catalogue, serializers: Serializers) -> None:
        self.catalogue = catalogue
        self.serializers = serializers
        self._functions: dict[str, TaskFunction] = {}

    def bind(self, providers: Providers) -> None:
        """Find out for each parameter whether it is sent or injected.

        Raises:
            ConfigurationError: Neither is possible; the text names function, parameter, file and line.
        """
        for declaration in self.catalogue.list():
            bound = BoundFunction.bind(declaration, providers, self.serializers)
            self._functions[declaration.name] = TaskFunction(bound)

    @property
    def names(self) -> list[str]:
        """What tasks can call."""
        return sorted(self._functions)

    def find(self, name: str) -> TaskFunction | None:
        """Return the function, or `None`."""
        return self._functions.get(name)

    def require(self, name: str) -> TaskFunction:
        """Return the function.

        Raises:
            CommandUnknownError: There is none with this name (`task-function-unknown`).
        """
        found = self._functions.get(name)
        if found is None:
            raise CommandUnknownError(name, self.names)
        return found

    def has_version(self, labels: Mapping[str, Any]) -> bool:
        """Tell whether the function that the labels of a job name has the same code as when it was submitted."""
        found = self._functions.get(str(labels.get("function")))
        return found is not None and found.declaration.code_version == labels.get("code_version")

    def describe(self) -> list[TaskFunctionOut]:
        """Return what clients are told of them, by name."""
        return [self._functions[name].describe() for name in self.names]


def _checked_cache(declaration: Declaration, parameters: Parameters) -> Cache | None:
    cache: Any = declaration.cache
    if cache is None:
        return None
    if not isinstance(cache, Cache):
        raise ConfigurationError(
            f"cache={cache!r:.100} of {declaration.label} ({declaration.place}) makes no sense; "
            'give cache=Cache(ttl="1h")',
            code="cache-invalid",
            function=declaration.name,
        )
    for name in cache.parameters:
        if name not in parameters.names:
            near = nearest(name, parameters.names)
            raise ConfigurationError(
                f"Cache(key=...) of {declaration.label} ({declaration.place}) names the parameter '{name}', which "
                f"nobody can send{did_you_mean(near)}",
                code="cache-invalid",
                function=declaration.name,
                found=name,
                expected=list(parameters.names),
            )
    return cache


def _describe_cache(cache: Cache) -> dict[str, Any]:
    key = label_of(cache.key) if callable(cache.key) else list(cache.parameters) or None
    return {"ttl": cache.seconds, "key": key, "tags": list(cache.tags)}


def _signature_text(declaration: Declaration) -> str:
    return f"{declaration.name}{inspect.signature(innermost(declaration.function))}"

"""The providers of a service, and what they make of a function's signature."""

import typing
from collections.abc import Callable, Iterator
from typing import Any

from chapkit.core.errors import ConfigurationError
from chapkit.job.executors.user_code import is_coroutine_function
from chapkit.task.errors import ProviderMissingError, full_name
from chapkit.task.matching import AmbiguousError, Wanted, find_exact, find_related
from chapkit.task.plan import RUN, Injection, InjectionPlan, Step
from chapkit.task.provider import APP, JOB, Provider, ProviderScope
from chapkit.task.run import Run
from chapkit.task.serializers import Serializers
from chapkit.task.signatures import (
    Function,
    FunctionParameter,
    FunctionSignature,
    label_of,
    place_of,
    read_signature,
)

_SCOPES = (APP, JOB)
_PROCESS = "process"


class Providers:
    """Port: how the things are made that functions of users can ask for by type."""

    def __init__(self, serializers: Serializers | None = None) -> None:
        self._serializers = serializers or Serializers.for_service()
        self._providers: dict[Any, Provider] = {Run: RUN}

    @property
    def names(self) -> list[str]:
        """What can be asked for."""
        return sorted(full_name(kind) for kind in self._providers)

    def add(
        self,
        kind: Any,
        factory: Callable[..., Any],
        *,
        scope: ProviderScope = JOB,
        needs_loop: bool = False,
        gives: type[Any] | None = None,
        is_last: bool = False,
    ) -> None:
        """Say how a thing is made; it takes the place of what was said of the same type before.

        Args:
            kind: The type that parameters are annotated with; with type arguments, if it has some.
            factory: Takes nothing, or other such things by annotation; plain, `async`, or a generator that yields the
                thing once and closes it afterwards.
            scope: `app` for one thing for the service, `job` for one for each run.
            needs_loop: Refuse it to functions that are no `async def`, as it would be of no use to them.
            gives: The class that is really made, if it is narrower than `kind`.
            is_last: Close it after everything else.

        Raises:
            ConfigurationError: One of them makes no sense (`provider-invalid`).
        """
        if not callable(factory) or scope not in _SCOPES or not _is_kind(kind):
            raise ConfigurationError(
                f"provide({full_name(kind)}, {factory!r:.100}, scope={scope!r}) makes no sense; "
                "give a type, a function that makes one, and the scope 'app' or 'job'",
                code="provider-invalid",
            )
        self._put(Provider(kind, factory, scope=scope, needs_loop=needs_loop, gives=gives, is_last=is_last))

    def add_value(self, kind: Any, value: Any) -> None:
        """Bring a thing that is there already; functions that run in child processes can have it too."""
        self._put(Provider(kind, value=value, scope=APP, gives=type(value) if isinstance(kind, type) else None))

    def resolve(
        self, function: Function, *, executor: str | None = None, signature: FunctionSignature | None = None
    ) -> InjectionPlan:
        """Return what the function is brought in this service.

        Raises:
            ProviderMissingError: A parameter can be neither brought nor sent (`provider-missing`).
            ConfigurationError: `provider-ambiguous`, `provider-circle`, `provider-scope-invalid`,
                `injection-needs-async`, `injection-not-for-processes`.
        """
        found = signature or read_signature(function)
        injections = tuple(self._injections_of(found, leave_to_users=True))
        for injection in injections:
            self._require_place(function, found, injection, executor)
        steps = self._steps(injections)
        names = frozenset(injection.name for injection in injections)
        brought = tuple(each for each in injections if each.provider is not None or not each.has_default)
        return InjectionPlan(found.label, found.place, names, brought, steps)

    def check(self) -> None:
        """Go on, if every provider has what its factory asks for.

        Raises:
            ConfigurationError: As `resolve` does.
        """
        for provider in self._providers.values():
            self._steps((Injection("", provider),))

    def _put(self, provider: Provider) -> None:
        try:
            self._providers[provider.kind] = provider
        except TypeError as error:
            raise ConfigurationError(
                f"{provider.kind!r:.100} is no type that a parameter could be annotated with", code="provider-invalid"
            ) from error

    def _injections_of(self, signature: FunctionSignature, *, leave_to_users: bool) -> Iterator[Injection]:
        for parameter in signature.parameters:
            wanted = Wanted.of(parameter.annotation)
            if parameter.kind == "surplus" or wanted.kind is Any:
                if not leave_to_users and parameter.is_required:
                    raise self._missing(signature, parameter, wanted)
                continue
            provider = find_exact(wanted, self._providers)
            is_json = leave_to_users and provider is None and self._is_json(parameter)
            if provider is None:
                provider = self._related(wanted, signature, parameter, is_json=is_json)
            if provider is None and is_json:
                continue
            has_default = not parameter.is_required
            if provider is None and not has_default and not wanted.is_optional:
                raise self._missing(signature, parameter, wanted)
            narrowed = _narrowed(wanted, provider)
            yield Injection(parameter.name, provider, narrowed, has_default, wanted.is_optional)

    def _is_json(self, parameter: FunctionParameter) -> bool:
        return self._serializers.problem_of(parameter.annotation) is None

    def _related(
        self, wanted: Wanted, signature: FunctionSignature, parameter: FunctionParameter, *, is_json: bool
    ) -> Provider | None:
        try:
            return find_related(wanted, self._providers, is_json=is_json)
        except AmbiguousError as error:
            raise ConfigurationError(
                f"{full_name(wanted.kind)}, which the parameter '{parameter.name}' of {signature.label} "
                f"({signature.place}) asks for, could be any of {', '.join(error.names)}; annotate it with one of them",
                code="provider-ambiguous",
                function=signature.label,
                parameter=parameter.name,
                place=signature.place,
                expected=error.names,
            ) from error

    def _missing(
        self, signature: FunctionSignature, parameter: FunctionParameter, wanted: Wanted
    ) -> ProviderMissingError:
        return ProviderMissingError(
            signature.label, parameter.name, full_name(wanted.kind), signature.place, self.names
        )

    def _require_place(
        self, function: Function, signature: FunctionSignature, injection: Injection, executor: str | None
    ) -> None:
        provider = injection.provider
        if provider is None:
            return
        what = (
            f"{full_name(provider.kind)} for the parameter '{injection.name}' of {signature.label} ({signature.place})"
        )
        if executor == _PROCESS and not provider.is_value:
            raise ConfigurationError(
                f"{what} cannot be brought to a child process; leave out executor='process', or take it out of the "
                "function: current_job() is there in every process",
                code="injection-not-for-processes",
                function=signature.label,
                parameter=injection.name,
                place=signature.place,
            )
        if provider.needs_loop and not is_coroutine_function(function):
            raise ConfigurationError(
                f"{what} needs an event loop, and a plain function runs in a thread without one; "
                f"write `async def`, and what computes for long into a function for asyncio.to_thread",
                code="injection-needs-async",
                function=signature.label,
                parameter=injection.name,
                place=signature.place,
            )

    def _steps(self, injections: tuple[Injection, ...]) -> tuple[Step, ...]:
        order = _Order(self._arguments_of)
        wanted = [each.provider for each in injections if each.provider is not None]
        for provider in wanted:
            order.add(provider)
        return order.steps()

    def _arguments_of(self, provider: Provider) -> tuple[Injection, ...]:
        if provider.factory is None:
            return ()
        signature = read_signature(provider.factory, needs_all=False)
        found = tuple(self._injections_of(signature, leave_to_users=False))
        brought = tuple(each for each in found if each.provider is not None or not each.has_default)
        for each in brought:
            if provider.scope == APP and each.provider is not None and each.provider.scope == JOB:
                raise ConfigurationError(
                    f"{signature.label} ({signature.place}) makes {full_name(provider.kind)} once for the service, but "
                    f"asks for {full_name(each.provider.kind)}, of which each run has its own; provide it with "
                    "scope='job'",
                    code="provider-scope-invalid",
                    function=signature.label,
                    parameter=each.name,
                    place=signature.place,
                )
        return brought


class _Order:
    """Sorts providers so that each comes after those that its factory asks for."""

    def __init__(self, arguments_of: Callable[[Provider], tuple[Injection, ...]]) -> None:
        self._arguments_of = arguments_of
        self._steps: dict[Provider, Step] = {}
        self._open: list[Provider] = []

    def add(self, provider: Provider) -> None:
        """Add a provider and all that it asks for."""
        if provider in self._steps or provider is RUN:
            return
        if provider in self._open:
            raise self._circle(provider)
        self._open.append(provider)
        arguments = self._arguments_of(provider)
        for argument in arguments:
            if argument.provider is not None:
                self.add(argument.provider)
        self._open.pop()
        self._steps[provider] = Step(provider, arguments)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps; what is to be closed last is made first."""
        last = _Order(lambda provider: self._steps[provider].arguments)
        for provider in self._steps:
            if provider.is_last:
                last.add(provider)
        return tuple({**last._steps, **self._steps}.values())

    def _circle(self, provider: Provider) -> ConfigurationError:
        chain = [*self._open[self._open.index(provider) :], provider]
        factory: Any = provider.factory
        names = " -> ".join(full_name(each.kind) for each in chain)
        return ConfigurationError(
            f"These providers ask for one another in a circle: {names}; take one of them out of "
            f"{label_of(factory)} ({place_of(factory)})",
            code="provider-circle",
            found=[full_name(each.kind) for each in chain],
        )


def _narrowed(wanted: Wanted, provider: Provider | None) -> type[Any] | None:
    """Return the class that a thing has to turn out to be, where its provider does not promise it."""
    if provider is None or wanted.kind is not wanted.origin or not isinstance(wanted.kind, type):
        return None
    made = provider.gives or provider.kind
    line: tuple[Any, ...] = getattr(typing.get_origin(made) or made, "__mro__", ())
    return None if wanted.kind in line else wanted.kind


def _is_kind(kind: Any) -> bool:
    return isinstance(kind, type | typing.NewType) or typing.get_origin(kind) is not None

"""Training and prediction as a feature of a service."""

import inspect
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from fastapi import APIRouter

from chapkit.config.manager import ConfigManager
from chapkit.config.models import DEFAULT_KIND
from chapkit.config.schemas import BaseConfig
from chapkit.core.errors import ConfigurationError
from chapkit.core.services import Key, Services
from chapkit.data.convert import FrameConverters
from chapkit.data.frame import DataFrame
from chapkit.data.signature import PREDICT_PARAMETERS, TRAIN_PARAMETERS, name_of
from chapkit.job.claiming import DEFAULT_QUEUE
from chapkit.job.policies import Retry
from chapkit.job.ports import JobHandlers
from chapkit.job.targets import JobTargets
from chapkit.ml.cache import ParsedRequests
from chapkit.ml.checks import RunLimits
from chapkit.ml.handlers import PREDICT, TRAIN, PredictHandler, RunnerParts, TrainHandler, handler_of
from chapkit.ml.placement import check_executor, executor_of
from chapkit.ml.router import RunRouter, list_router
from chapkit.ml.runner import ModelRunner, RunnerFunctions, RunOptions
from chapkit.ml.runners import RunnerDescription, Runners
from chapkit.ml.signature import bind_function
from chapkit.ml.submission import RunSettings, RunSubmitter
from chapkit.ml.target import RunTarget
from chapkit.web.feature import Feature, Requirement

_is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}").fullmatch


@dataclass(frozen=True)
class FrameType:
    """A type that functions may name for their data."""

    kind: type[Any]
    from_frame: Callable[[DataFrame], Any]
    to_frame: Callable[[Any], Any]


@dataclass(frozen=True)
class MLFeature(Feature):
    """Trains and predicts with one runner."""

    kind: ClassVar[str] = "ml"
    requires: ClassVar[tuple[Requirement, ...]] = (
        Requirement("config", "with_config(...)"),
        Requirement("artifact", "with_artifacts(...)"),
        Requirement("job", "with_jobs()"),
        Requirement("link", "with_artifacts(..., enable_config_linking=True)"),
    )

    runner: ModelRunner
    name: str | None = None
    """Part of the paths, if a service has several runners."""
    is_default: bool = True
    """Whether it answers without a name in the path, too."""
    prefix: str = "/api/v1/ml"
    tags: tuple[str, ...] = ("ML",)
    limits: RunLimits = field(default_factory=RunLimits)
    frame_types: tuple[FrameType, ...] = ()
    config_name: str | None = None
    """Name of its configurations; those of the only class, if left out."""
    config_schema: type[BaseConfig] = BaseConfig
    queue: str = DEFAULT_QUEUE
    retry: Retry | None = None
    timeout: float | None = None
    """Seconds that one attempt may take."""
    jobs_prefix: str = "/api/v1/jobs"
    artifacts_prefix: str = "/api/v1/artifacts"

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_name(self.name)

    @property
    def key(self) -> str:
        """Several runners live side by side under different names."""
        return self.kind if self.name is None else f"{self.kind}:{self.name}"

    @cached_property
    def converters(self) -> FrameConverters:
        """How frames become what functions ask for."""
        converters = FrameConverters()
        for item in self.frame_types:
            converters.register(item.kind, item.from_frame, item.to_frame)
        return converters

    def register(self, services: Services) -> None:
        """Read the signatures of the runner and bring its two handlers."""
        functions = self.runner.functions()
        check_executor(self.runner, functions)
        parts = RunnerParts(
            train=bind_function(functions.train, TRAIN_PARAMETERS, self.converters),
            predict=bind_function(functions.predict, PREDICT_PARAMETERS, self.converters),
            configs=Key(ConfigManager, self.config_name or DEFAULT_KIND),
            runner=self.name,
            converters=self.converters,
        )
        for wanted, make in ((FrameConverters, lambda: self.converters), (ParsedRequests, ParsedRequests)):
            if services.find(wanted) is None:
                services.add(wanted, make())
        settings = RunSettings(self.limits, self.name, {TRAIN: self._train.queue, PREDICT: self._predict.queue})
        submitter = RunSubmitter(services, parts.configs, settings)
        services.add(Key(RunSubmitter, self.name or ""), submitter)
        self._add_handlers(services, parts)
        targets = services.find(JobTargets)
        if targets is not None:
            targets.add(RunTarget.of(TRAIN, self.name, submitter))
            targets.add(RunTarget.of(PREDICT, self.name, submitter))
        runners = services.find(Runners) or Runners()
        runners.add(self._describe(parts, functions))
        services.add(Runners, runners)

    def routers(self) -> Iterable[APIRouter]:
        """Return the two routes, and the list of all runners."""
        places = [] if self.name is None else [f"{self.prefix}/{self.name}"]
        if self.is_default:
            yield list_router(self.prefix, self.tags)
            places.append(self.prefix)
        for place in places:
            yield RunRouter(place, self.tags, self.jobs_prefix, self.artifacts_prefix, self.name).router

    @cached_property
    def _train(self) -> "_Chosen":
        return self._chosen(self.runner.train_options)

    @cached_property
    def _predict(self) -> "_Chosen":
        return self._chosen(self.runner.predict_options)

    def _chosen(self, options: RunOptions) -> "_Chosen":
        timeout = self.timeout if options.timeout is None else options.timeout
        executor = executor_of(self.runner, options)
        return _Chosen(options.queue or self.queue, options.retry or self.retry, timeout, executor)

    def _add_handlers(self, services: Services, parts: RunnerParts) -> None:
        for kind, chosen in ((TrainHandler, self._train), (PredictHandler, self._predict)):
            handler = handler_of(kind, parts)
            handler.retry, handler.timeout, handler.executor = chosen.retry, chosen.timeout, chosen.executor
            services.get(JobHandlers).add(handler)

    def _describe(self, parts: RunnerParts, functions: RunnerFunctions) -> RunnerDescription:
        place = self.prefix if self.name is None else f"{self.prefix}/{self.name}"
        return RunnerDescription(
            name=self.name,
            is_default=self.is_default,
            train=f"{place}/$train",
            predict=f"{place}/$predict",
            config_schema=self.config_schema.model_json_schema(),
            train_function=name_of(functions.train),
            predict_function=name_of(functions.predict),
            takes_geo=parts.train.takes("geo") or parts.predict.takes("geo"),
            requires_geo=self.limits.requires_geo,
            required_columns=self.limits.required_columns,
            executor=self.runner.executor,
            tags=sorted({*self.runner.train_options.tags, *self.runner.predict_options.tags}),
        )

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Let the runner prepare itself and clean up."""
        await _awaited(self.runner.on_init())
        try:
            yield
        finally:
            await _awaited(self.runner.on_cleanup())


@dataclass(frozen=True)
class _Chosen:
    queue: str
    retry: Retry | None
    timeout: float | None
    executor: str | None


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or _is_name(name) is None:
        raise ConfigurationError(
            f"{name!r:.100} is no name for a runner; a name has 1 to 64 characters: letters from A to Z, digits, '_', "
            "'-' and '.', and begins with a letter or a digit",
            code="runner-name-invalid",
            found=str(name)[:100],
        )


async def _awaited(given: Any) -> None:
    # Users write these methods as plain functions, too.
    if inspect.isawaitable(given):
        await given

"""Training and prediction as a feature of a service."""

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from fastapi import APIRouter

from chapkit.config.manager import ConfigManager
from chapkit.config.models import DEFAULT_KIND
from chapkit.core.services import Key, Services
from chapkit.data.convert import FrameConverters
from chapkit.data.frame import DataFrame
from chapkit.job.claiming import DEFAULT_QUEUE
from chapkit.job.policies import Retry
from chapkit.job.ports import JobHandlers
from chapkit.ml.cache import ParsedRequests
from chapkit.ml.checks import RunLimits
from chapkit.ml.handlers import PredictHandler, RunnerParts, TrainHandler
from chapkit.ml.placement import check_executor
from chapkit.ml.router import RunRouter
from chapkit.ml.runner import ModelRunner
from chapkit.ml.signature import PREDICT_PARAMETERS, TRAIN_PARAMETERS, bind_function
from chapkit.ml.submission import RunSubmitter
from chapkit.web.feature import Feature, Requirement


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
    prefix: str = "/api/v1/ml"
    tags: tuple[str, ...] = ("ML",)
    limits: RunLimits = field(default_factory=RunLimits)
    frame_types: tuple[FrameType, ...] = ()
    config_name: str = DEFAULT_KIND
    queue: str = DEFAULT_QUEUE
    retry: Retry | None = None
    timeout: float | None = None
    """Seconds that one attempt may take."""
    jobs_prefix: str = "/api/v1/jobs"
    artifacts_prefix: str = "/api/v1/artifacts"

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
        check_executor(self.runner.executor, functions)
        configs: Key[ConfigManager[Any]] = Key(ConfigManager, self.config_name)
        parts = RunnerParts(
            train=bind_function(functions.train, TRAIN_PARAMETERS, self.converters),
            predict=bind_function(functions.predict, PREDICT_PARAMETERS, self.converters),
            configs=configs,
            executor=self.runner.executor,
        )
        services.add(FrameConverters, self.converters)
        services.add(ParsedRequests, ParsedRequests())
        services.add(RunSubmitter, RunSubmitter(services, configs, self.limits, self.queue))
        handlers = services.get(JobHandlers)
        for handler in (TrainHandler(parts), PredictHandler(parts)):
            handler.retry, handler.timeout = self.retry, self.timeout
            handlers.add(handler)

    def routers(self) -> Iterable[APIRouter]:
        """Return the two routes."""
        yield RunRouter(self.prefix, self.tags, self.jobs_prefix, self.artifacts_prefix).router

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Let the runner prepare itself and clean up."""
        await _awaited(self.runner.on_init())
        try:
            yield
        finally:
            await _awaited(self.runner.on_cleanup())


async def _awaited(given: Any) -> None:
    # Users write these methods as plain functions, too.
    if inspect.isawaitable(given):
        await given

"""The calls of the builder that bring models."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from chapkit.api.calls import FeatureCalls
from chapkit.api.connect import run_limits
from chapkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from chapkit.data.frame import DataFrame
    from chapkit.job.policies import Retry
    from chapkit.ml.runner import ModelRunner


class ModelCalls(FeatureCalls):
    """Runners, and the types of their data."""

    def with_ml(
        self,
        runner: "ModelRunner | str",
        *,
        name: str | None = None,
        prefix: str = "/api/v1/ml",
        tags: Sequence[str] = ("ML",),
        config: str | None = None,
        retry: "Retry | None" = None,
        timeout: float | None = None,
        queue: str = "default",
    ) -> Self:
        """Train and predict with this runner; call it again with a `name` for each further one.

        Args:
            runner: Functions or an object that train and predict, or the name that two functions were registered under.
            name: Part of the paths, `/api/v1/ml/{name}/$train`; the first runner answers without it, too.
            prefix: Where the routes are.
            tags: Under which they stand in the API's description.
            config: Name of its configurations, if the service has several classes of them.
            retry: What happens after a failure; nothing, if left out.
            timeout: Seconds that one attempt may take.
            queue: Where the jobs wait, as `with_jobs(queues=...)` has it.

        Raises:
            ConfigurationError: Another runner has this name, or none as this one (`runner-duplicate`), or it is no
                name (`runner-name-invalid`).
        """
        # Lazy: only services with a model need what follows.
        from chapkit.ml.feature import MLFeature
        from chapkit.ml.runner import FunctionalModelRunner

        given = FunctionalModelRunner.from_registry(runner) if isinstance(runner, str) else runner
        feature = MLFeature(given, name, prefix=prefix, tags=tuple(tags), limits=run_limits(self.info), queue=queue)
        present = self._features.get(feature.key)
        # The runner of `MLServiceBuilder` gets its options by being named again.
        if isinstance(present, MLFeature) and not present.runner.is_same(given):
            raise _duplicate(name)
        return self.with_feature(replace(feature, retry=retry, timeout=timeout, config_name=config))

    def with_frame_type(
        self, kind: type[Any], from_frame: Callable[["DataFrame"], Any], to_frame: Callable[[Any], Any]
    ) -> Self:
        """Let functions of the runners name `kind` for their data; call it after `with_ml`."""
        # Lazy: only services with a model need what follows.
        from chapkit.ml.feature import FrameType, MLFeature

        runners = [feature for feature in self._features.values() if isinstance(feature, MLFeature)]
        if not runners:
            raise ConfigurationError(
                "with_frame_type(...) needs a runner; call with_ml(...) first", code="feature-missing"
            )
        for feature in runners:
            types = (*feature.frame_types, FrameType(kind, from_frame, to_frame))
            self.with_feature(replace(feature, frame_types=types))
        return self


def _duplicate(name: str | None) -> ConfigurationError:
    taken = "This service has a runner without a name" if name is None else f"This service has a runner named {name!r}"
    return ConfigurationError(
        f'{taken} already, and would lose it; give the further one another name: with_ml(..., name="ewars")',
        code="runner-duplicate",
        found=name,
    )

"""The calls of the builder that bring tasks, and what is injected into functions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from chapkit.api.calls import FeatureCalls, permissions_of
from chapkit.web.feature import CrudPermissions

if TYPE_CHECKING:
    from chapkit.task.registry import Registry


class TaskCalls(FeatureCalls):
    """Tasks, and things of the user's own for their functions."""

    def with_tasks(
        self,
        *,
        allow_shell: bool = False,
        shell_dir: str | Path | None = None,
        registry: "Registry | None" = None,
        prefix: str = "/api/v1/tasks",
        tags: Sequence[str] = ("Tasks",),
        permissions: CrudPermissions | None = None,
        allow_execute: bool = True,
        validate_on_startup: bool = True,
        **allow: bool | None,
    ) -> Self:
        """Store tasks and run them as jobs.

        Args:
            allow_shell: Whether tasks may be commands. Whoever may create one can do whatever the service can.
            shell_dir: Folder in which commands run; if left out, each has an empty one of its own for as long.
            registry: The functions that tasks can call; those of `TaskRegistry`, if left out.
            prefix: Where the routes are; `tags` is their group in the API's description.
            permissions: Which of the generic operations there are; `allow_create=False` and its like go on top.
            allow_execute: Whether clients may run tasks.
            validate_on_startup: Whether tasks whose function is missing are disabled at the start.
        """
        # Lazy: only services with tasks need what follows.
        from chapkit.task.feature import TaskFeature
        from chapkit.task.registry import TaskRegistry

        return self.with_feature(
            TaskFeature(
                functions=(registry or TaskRegistry).snapshot,
                allow_shell=allow_shell,
                shell_dir=None if shell_dir is None else Path(shell_dir).absolute(),
                prefix=prefix,
                tags=tuple(tags),
                permissions=permissions_of(permissions, allow),
                allow_execute=allow_execute,
                validate_on_startup=validate_on_startup,
            )
        )

    def provide(self, kind: type[Any], factory: Callable[..., Any], *, scope: Literal["app", "job"] = "job") -> Self:
        """Let functions of tasks have a parameter of this type.

        Args:
            kind: The type in the annotation; subclasses of it are found by the name of a base class as well.
            factory: Makes one; a function, a class, or a generator that cleans up behind its `yield`. Its own
                parameters are injected, too.
            scope: `app` for one that all jobs of the service share, `job` for a new one in each job.
        """
        # Lazy: only services with tasks need what follows.
        from chapkit.task.provisions import Provision, ProvisionFeature

        present = self._features.get(ProvisionFeature.kind)
        given = present.provisions if isinstance(present, ProvisionFeature) else ()
        return self.with_feature(ProvisionFeature((*given, Provision(kind, factory, scope))))

"""A router that is a class, so that others can extend it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter


class Router(ABC):
    """Registers its routes once, on `self.router`."""

    def __init__(self, prefix: str, tags: Sequence[str], **kwargs: Any) -> None:
        self.prefix = prefix
        self.router = APIRouter(prefix=prefix, tags=list(tags), **kwargs)
        self._register_routes()

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> APIRouter:
        """Return the FastAPI router of a new instance."""
        return cls(*args, **kwargs).router

    @abstractmethod
    def _register_routes(self) -> None: ...

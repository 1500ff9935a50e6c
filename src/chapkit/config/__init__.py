"""Typed configurations, stored as documents."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.config.feature import ConfigFeature as ConfigFeature
    from chapkit.config.manager import ConfigManager as ConfigManager
    from chapkit.config.models import Config as Config
    from chapkit.config.repository import ConfigRepository as ConfigRepository
    from chapkit.config.router import ConfigRouter as ConfigRouter
    from chapkit.config.schemas import BaseConfig as BaseConfig
    from chapkit.config.schemas import ConfigIn as ConfigIn
    from chapkit.config.schemas import ConfigOut as ConfigOut

_NAMES = {
    "BaseConfig": "chapkit.config.schemas",
    "Config": "chapkit.config.models",
    "ConfigFeature": "chapkit.config.feature",
    "ConfigIn": "chapkit.config.schemas",
    "ConfigManager": "chapkit.config.manager",
    "ConfigOut": "chapkit.config.schemas",
    "ConfigRepository": "chapkit.config.repository",
    "ConfigRouter": "chapkit.config.router",
}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

"""What the parts of the builder share."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

from chapkit.api.info import ServiceInfo
from chapkit.web.feature import CrudPermissions, Feature


class FeatureCalls:
    """A list of features that grows call by call; classes of this one bring the builder's methods."""

    info: ServiceInfo
    _features: dict[str, Feature]

    def with_feature(self, feature: Feature) -> Self:
        """Add a feature; one with the same key is replaced."""
        self._features[feature.key] = feature
        return self


def permissions_of(given: CrudPermissions | None, allow: Mapping[str, bool | None]) -> CrudPermissions:
    """Return the permissions with what `allow_create=False` and the like say on top."""
    names = {"allow_create": "create", "allow_read": "read", "allow_update": "update", "allow_delete": "delete"}
    unknown = set(allow) - set(names)
    if unknown:
        raise TypeError(f"unknown argument {min(unknown)!r}; known are {sorted(names)}")
    changes = {names[name]: value for name, value in allow.items() if value is not None}
    return replace(given or CrudPermissions(), **changes)

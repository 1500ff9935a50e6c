"""JSON merge patch (RFC 7396)."""

from collections.abc import Mapping
from typing import Any, cast


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `target` changed by `patch`: null removes a member, objects merge, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(cast("Mapping[str, Any]", target)) if isinstance(target, Mapping) else {}
    for name, value in cast("Mapping[str, Any]", patch).items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged

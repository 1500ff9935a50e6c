"""Trees of artifacts: labels, nodes, nesting; as objects and as bytes."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import to_json

from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.artifact.schemas import ArtifactOut, ArtifactTreeNode
from chapkit.artifact.wire import RawArtifact, compose


class Labels:
    """What a hierarchy says of a level; nothing, without one."""

    def __init__(self, hierarchy: ArtifactHierarchy | None) -> None:
        self._hierarchy = hierarchy

    def node(self, artifact: ArtifactOut) -> ArtifactTreeNode:
        """Return the artifact as a node whose children were not loaded."""
        node = ArtifactTreeNode.from_artifact(artifact)
        if self._hierarchy is not None:
            node.hierarchy = self._hierarchy.name
            node.level_label = self._hierarchy.label_for(artifact.level)
        return node

    def members(self, level: int) -> bytes:
        """Return the JSON members of a node that tell of its level."""
        hierarchy = self._hierarchy
        if hierarchy is None:
            return b'"level_label":null,"hierarchy":null'
        return b'"level_label":%b,"hierarchy":%b' % (to_json(hierarchy.label_for(level)), to_json(hierarchy.name))


def nest(root_id: str, nodes: Sequence[ArtifactTreeNode]) -> ArtifactTreeNode:
    """Return the root with every other node among the children of its parent."""
    known = {node.id: node for node in nodes}
    for node in nodes:
        node.children = []
    for node in nodes:
        parent = known.get(node.parent_id) if node.parent_id is not None and node.id != root_id else None
        if parent is not None and parent.children is not None:
            parent.children.append(node)
    return next(node for node in nodes if node.id == root_id)


def render_node(row: RawArtifact, labels: Labels, children: bytes = b"null", config: Any = None) -> bytes:
    """Return the JSON of a node; `children` is JSON already."""
    return b'%b,%b,"children":%b,"config":%b}' % (
        compose(row)[:-1],
        labels.members(row.level),
        children,
        b"null" if config is None else to_json(config),
    )


def render_tree(root_id: str, rows: Sequence[RawArtifact], labels: Labels, config: Any = None) -> bytes:
    """Return the JSON of a tree; only its root has the configuration."""
    children: defaultdict[str | None, list[RawArtifact]] = defaultdict(list)
    for row in rows:
        if row.id != root_id:
            children[row.parent_id].append(row)
    root = next(row for row in rows if row.id == root_id)
    render = _renderer(children, labels)
    return render_node(root, labels, render(root_id), config)


def _renderer(children: dict[str | None, list[RawArtifact]], labels: Labels) -> Callable[[str], bytes]:
    def below(id: str) -> bytes:
        rows = children.get(id, ())
        return b"[" + b",".join([render_node(row, labels, below(row.id)) for row in rows]) + b"]"

    return below

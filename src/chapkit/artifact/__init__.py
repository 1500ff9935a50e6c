"""What models and jobs produce, stored in trees."""

from typing import TYPE_CHECKING

from chapkit._lazy import lazy_names

if TYPE_CHECKING:
    from chapkit.artifact.coder import PreparedContent as PreparedContent
    from chapkit.artifact.feature import ArtifactFeature as ArtifactFeature
    from chapkit.artifact.files import FileBlobStore as FileBlobStore
    from chapkit.artifact.hierarchy import ArtifactHierarchy as ArtifactHierarchy
    from chapkit.artifact.manager import ArtifactManager as ArtifactManager
    from chapkit.artifact.models import Artifact as Artifact
    from chapkit.artifact.models import Blob as Blob
    from chapkit.artifact.ports import ArtifactChange as ArtifactChange
    from chapkit.artifact.ports import ArtifactGuards as ArtifactGuards
    from chapkit.artifact.ports import BlobReferences as BlobReferences
    from chapkit.artifact.ports import NodeConfigs as NodeConfigs
    from chapkit.artifact.repository import ArtifactRepository as ArtifactRepository
    from chapkit.artifact.router import ArtifactRouter as ArtifactRouter
    from chapkit.artifact.schemas import ArtifactData as ArtifactData
    from chapkit.artifact.schemas import ArtifactIn as ArtifactIn
    from chapkit.artifact.schemas import ArtifactOut as ArtifactOut
    from chapkit.artifact.schemas import ArtifactTreeNode as ArtifactTreeNode
    from chapkit.artifact.schemas import GenericArtifactData as GenericArtifactData
    from chapkit.artifact.schemas import MLMetadata as MLMetadata
    from chapkit.artifact.schemas import MLPredictionArtifactData as MLPredictionArtifactData
    from chapkit.artifact.schemas import MLPredictionWorkspaceArtifactData as MLPredictionWorkspaceArtifactData
    from chapkit.artifact.schemas import MLTrainingArtifactData as MLTrainingArtifactData
    from chapkit.artifact.schemas import validate_artifact_data as validate_artifact_data
    from chapkit.artifact.signing import Signer as Signer
    from chapkit.artifact.storage import ContentStorage as ContentStorage
    from chapkit.artifact.stores import BlobRef as BlobRef
    from chapkit.artifact.stores import BlobStore as BlobStore
    from chapkit.artifact.stores import CompositeBlobStore as CompositeBlobStore
    from chapkit.artifact.stores import DatabaseBlobStore as DatabaseBlobStore
    from chapkit.artifact.sweeper import BlobSweeper as BlobSweeper

_NAMES = {
    "Artifact": "chapkit.artifact.models",
    "ArtifactChange": "chapkit.artifact.ports",
    "ArtifactData": "chapkit.artifact.schemas",
    "ArtifactFeature": "chapkit.artifact.feature",
    "ArtifactGuards": "chapkit.artifact.ports",
    "ArtifactHierarchy": "chapkit.artifact.hierarchy",
    "ArtifactIn": "chapkit.artifact.schemas",
    "ArtifactManager": "chapkit.artifact.manager",
    "ArtifactOut": "chapkit.artifact.schemas",
    "ArtifactRepository": "chapkit.artifact.repository",
    "ArtifactRouter": "chapkit.artifact.router",
    "ArtifactTreeNode": "chapkit.artifact.schemas",
    "Blob": "chapkit.artifact.models",
    "BlobRef": "chapkit.artifact.stores",
    "BlobReferences": "chapkit.artifact.ports",
    "BlobStore": "chapkit.artifact.stores",
    "BlobSweeper": "chapkit.artifact.sweeper",
    "CompositeBlobStore": "chapkit.artifact.stores",
    "ContentStorage": "chapkit.artifact.storage",
    "DatabaseBlobStore": "chapkit.artifact.stores",
    "FileBlobStore": "chapkit.artifact.files",
    "GenericArtifactData": "chapkit.artifact.schemas",
    "MLMetadata": "chapkit.artifact.schemas",
    "MLPredictionArtifactData": "chapkit.artifact.schemas",
    "MLPredictionWorkspaceArtifactData": "chapkit.artifact.schemas",
    "MLTrainingArtifactData": "chapkit.artifact.schemas",
    "NodeConfigs": "chapkit.artifact.ports",
    "PreparedContent": "chapkit.artifact.coder",
    "Signer": "chapkit.artifact.signing",
    "validate_artifact_data": "chapkit.artifact.schemas",
}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]  # the names come by __getattr__
__getattr__, __dir__ = lazy_names(__name__, _NAMES)

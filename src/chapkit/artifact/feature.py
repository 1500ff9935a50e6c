"""Artifacts as a feature of a service."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from fastapi import APIRouter
from sqlalchemy import Text, exists, select, type_coerce

from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.models import Artifact, Blob
from chapkit.artifact.ports import ArtifactGuards, BlobReferences, NodeConfigs
from chapkit.artifact.repository import ArtifactRepository
from chapkit.artifact.router import ArtifactRouter
from chapkit.artifact.schemas import ArtifactIn, ArtifactOut
from chapkit.artifact.storage import ContentStorage
from chapkit.artifact.stores import BlobStore
from chapkit.artifact.sweeper import BlobSweeper
from chapkit.core.models import Base
from chapkit.core.services import Scope, Services
from chapkit.core.workers import Worker
from chapkit.job.ledger import EARLIER_ARTIFACTS
from chapkit.job.models import Job
from chapkit.job.references import JobReferences
from chapkit.web.dependencies import provided
from chapkit.web.feature import CrudPermissions, Feature

_HIT = '"cache":"hit"'
"""In the text of the labels of a job that ended with the artifact of another one; a quote inside of a value differs."""


@dataclass(frozen=True)
class ArtifactFeature(Feature):
    """Stores what models and jobs produce, in trees."""

    kind: ClassVar[str] = "artifact"

    hierarchy: ArtifactHierarchy | None = None
    prefix: str = "/api/v1/artifacts"
    tags: tuple[str, ...] = ("Artifacts",)
    permissions: CrudPermissions = field(default_factory=CrudPermissions)
    signing_key: str | None = field(default=None, repr=False)
    """Signs models; a file in the data directory holds one, if none is given."""

    def models(self) -> Iterable[type[Base]]:
        """Return the tables of artifacts and of small contents."""
        yield from (Artifact, Blob)

    def register(self, services: Services) -> None:
        """Bring an `ArtifactManager` and a `BlobStore` for each unit of work, and the ports that others fill."""
        storage = ContentStorage(services, self.signing_key)
        references = services.find(BlobReferences) or BlobReferences()
        references.add(select(Artifact.sha256))
        # Jobs lie below and cannot say so themselves; their table always exists.
        references.add(select(Job.payload_blob).where(Job.payload_blob.is_not(None)))
        jobs = services.find(JobReferences) or JobReferences()
        # What made an artifact is part of its lineage; a job is told its artifact's identifier when it is submitted.
        # One that was never started, or found the result of an equal one, only points to what that one has made.
        labels = type_coerce(Job.labels, Text)
        is_hit = labels.contains(_HIT)
        jobs.add(select(Job.id).join(Artifact, Artifact.id == Job.artifact_id).where(Job.attempt > 0, ~is_hit))
        # A job that was run again got another identifier, and the artifact of a failure is there under the first one.
        is_earlier = labels.contains(type_coerce(Artifact.id, Text))
        jobs.add(select(Job.id).where(labels.contains(f'"{EARLIER_ARTIFACTS}":'), exists().where(is_earlier)))
        services.add(JobReferences, jobs)
        services.add(ContentStorage, storage)
        services.add(BlobReferences, references)
        services.add(ArtifactGuards, services.find(ArtifactGuards) or ArtifactGuards())
        services.add(NodeConfigs, services.find(NodeConfigs) or NodeConfigs())
        services.scoped(BlobStore, lambda scope: storage.blobs(scope.session))
        services.scoped(ArtifactManager, self._make_manager)

    def routers(self) -> Iterable[APIRouter]:
        """Return the routes of the collection."""
        yield ArtifactRouter.create(
            self.prefix,
            self.tags,
            ArtifactIn,
            ArtifactOut,
            provided(ArtifactManager),
            permissions=self.permissions,
        )

    def workers(self, services: Services) -> Iterable[Worker]:
        """Return what deletes contents that no artifact has any more."""
        yield BlobSweeper(services, services.get(ContentStorage), services.get(BlobReferences).queries)

    def _make_manager(self, scope: Scope) -> ArtifactManager:
        storage = scope.services.get(ContentStorage)
        guards, configs = scope.services.get(ArtifactGuards), scope.services.get(NodeConfigs)
        return ArtifactManager(
            ArtifactRepository(scope.session),
            self.hierarchy,
            storage.blobs(scope.session),
            storage.signer,
            guard=lambda artifact, change: guards.guard(scope, artifact, change),
            config_of=lambda id: configs.find(scope, id),
        )

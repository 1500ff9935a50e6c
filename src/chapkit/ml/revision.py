"""A training or a prediction that is run again with other members of its request."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from anyio.to_thread import run_sync
from pydantic_core import to_json

from chapkit.artifact.storage import ContentStorage
from chapkit.core.services import Services
from chapkit.data.parse import loads_chunked
from chapkit.job.revision import require_known
from chapkit.job.schemas import Revision
from chapkit.ml.polygons import with_places
from chapkit.ml.schemas import PredictRequest, TrainRequest
from chapkit.ml.submission import RunSubmitter, Submission
from chapkit.ml.work import stored_body

RunRequest: TypeAlias = TrainRequest | PredictRequest


async def revise_run(
    services: Services, submitter: RunSubmitter, schema: type[RunRequest], stored: Revision, given: Mapping[str, Any]
) -> Revision:
    """Return the request with the members of `given` in place of its own, accepted as a new one is.

    Raises:
        ValidationError: It is no request any more.
        ChapkitError: It would not be accepted.
    """
    fields = schema.model_fields
    require_known(given, fields.keys() - {"job"})
    before = await stored_body(stored.payload, stored.blob, services.get(ContentStorage))
    body, request = await run_sync(_merge, schema, before, given)
    sent = Submission(request, body)
    accept = submitter.training if isinstance(request, TrainRequest) else submitter.prediction
    spec = await accept(sent)
    return replace(stored, payload=spec.payload, blob=spec.payload_blob, labels={**stored.labels, **spec.labels})


def _merge(schema: type[RunRequest], before: bytes, given: Mapping[str, Any]) -> tuple[bytes, RunRequest]:
    members = loads_chunked(before)
    members.pop("job", None)
    body = to_json({**members, **given})
    return body, schema.model_validate(with_places(loads_chunked(body)))

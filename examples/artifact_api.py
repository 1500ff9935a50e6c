"""A service that shows artifacts and lets nobody change them.

uvicorn examples.artifact_api:app
"""

import pandas as pd
from fastapi import FastAPI

from chapkit import ArtifactHierarchy, ArtifactManager
from chapkit.api import CrudPermissions, ServiceBuilder, ServiceInfo

READ_ONLY = CrudPermissions(create=False, update=False, delete=False)
LEVELS = ArtifactHierarchy(name="experiment", level_labels={0: "experiment", 1: "model", 2: "prediction"})


async def seed(app: FastAPI) -> None:
    """Write one tree of three levels: a description, an object, a frame."""
    async with app.state.services.scope.write() as scope:
        artifacts = scope.get(ArtifactManager)
        if await artifacts.count():
            return
        experiment = await artifacts.store({"title": "Rain and malaria", "seed": 7})
        model = await artifacts.store(
            {"rain": 0.4, "bias": 1.5}, as_model=True, metadata={"rows": 120}, parent_id=experiment.id
        )
        frame = pd.DataFrame({"week": ["2024W01", "2024W02"], "cases": [12.0, 15.5]})
        await artifacts.store(frame, parent_id=model.id)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Artifacts"), database_url="sqlite+aiosqlite:///data/artifact_api.db")
    .with_health()
    .with_artifacts(hierarchy=LEVELS, permissions=READ_ONLY)
    .on_startup(seed)
    .build()
)

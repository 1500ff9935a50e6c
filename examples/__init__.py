"""Services to start from; each runs with `uvicorn examples.NAME:app`."""

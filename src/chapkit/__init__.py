"""Turn a model or a data job into a service that lasts."""

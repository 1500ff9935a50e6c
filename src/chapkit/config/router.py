"""Routes of configurations."""

from typing import Any, cast

from chapkit.config.schemas import BaseConfig, ConfigIn, ConfigOut
from chapkit.web.crud import CrudRouter


class ConfigRouter(CrudRouter[ConfigIn[Any], ConfigOut[Any]]):
    """The generic routes; `$schema` describes the configuration class itself."""

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the configuration class."""
        data_cls = cast("type[BaseConfig]", self.entity_in_type.model_fields["data"].annotation)
        return data_cls.model_json_schema()

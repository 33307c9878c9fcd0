"""Check settings against a pydantic model: one line for the first fault."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from avgzsl_bench import plugins
from avgzsl_bench.errors import AvgzslError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Mapping[str, Any], owner: str, command: str) -> Model:
    """A pydantic model, its first fault as one AvgzslError line with near matches for an unknown key."""
    try:
        return model(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            near = plugins.near(key, list(model.model_fields))
            raise AvgzslError(f"{owner} has no setting {key!r}; {near}`{command}` lists them") from None
        said = fault["msg"].removeprefix("Value error, ")
        if not key:  # of several settings together, which the message names
            raise AvgzslError(f"{owner}: {said}; `{command}` explains the settings") from None
        given = f"{owner}: setting {key}={fault['input']!r}"
        raise AvgzslError(f"{given}: {said[:1].lower()}{said[1:]}; `{command}` shows its range") from None

"""The question that every kind with settings is asked."""

from pydantic import BaseModel, ValidationError


def refuse_unknown(settings: type[BaseModel]) -> None:
    """`extra="forbid"` survived: a misspelt setting must not be ignored."""
    try:
        settings(no_such_setting=1)
    except ValidationError:
        return
    raise AssertionError("takes the unknown setting no_such_setting=1 without a word; derive Settings from the contract's")

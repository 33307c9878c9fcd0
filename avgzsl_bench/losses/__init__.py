"""Swappable losses, one file each, in three families with one signature each (see `contracts.Loss`)."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from avgzsl_bench import plugins
from avgzsl_bench.contracts import Loss
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.settings import validated


class LossChoice(BaseModel):
    """The name of a loss and its settings, complete with the loss's defaults once validated."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str


def _of_family(family: str) -> Callable[[LossChoice], LossChoice]:
    def check(choice: LossChoice) -> LossChoice:
        kind = plugins.load("losses", choice.name)
        if kind.family != family:
            raise AvgzslError(f"loss {choice.name!r} is of the {kind.family} family and cannot stand in for one of {family}")
        own = validated(kind.Settings, choice.model_extra or {}, f"loss {choice.name}", f"avgzsl show {choice.name}")
        return LossChoice(name=choice.name, **own.model_dump())

    return check


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_dump = PlainSerializer(lambda choice: {"name": choice.name, **(choice.model_extra or {})})
AlignmentLoss = Annotated[LossChoice, BeforeValidator(_named), AfterValidator(_of_family("alignment")), _dump]
ClassificationLoss = Annotated[LossChoice, BeforeValidator(_named), AfterValidator(_of_family("classification")), _dump]
TripletLoss = Annotated[LossChoice, BeforeValidator(_named), AfterValidator(_of_family("triplet")), _dump]
"""Types of a method's setting `<family>_loss`: `--set loss=NAME` finds it by the family of NAME."""


def make(choice: LossChoice) -> Loss:
    """Build a chosen loss (families were checked when the settings were)."""
    kind: type[Loss] = plugins.load("losses", choice.name)
    return kind(kind.Settings(**(choice.model_extra or {})))

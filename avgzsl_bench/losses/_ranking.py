"""The hinge cost that the ranking losses share."""

from pydantic import Field
from torch import Tensor

from avgzsl_bench.contracts import Loss


class RankingLoss(Loss):
    """A loss of the cost of every wrong class: max(0, margin + its logit - the true logit)."""

    family = "classification"

    class Settings(Loss.Settings):
        margin: float = Field(0.1, ge=0, description="By how much the true logit must exceed the others.")

    def costs(self, logits: Tensor, rows: Tensor) -> Tensor:
        """(clips, classes), 0 for the true class."""
        true = rows[:, None]
        costs: Tensor = (logits - logits.gather(1, true) + self.settings.margin).clamp(min=0)
        return costs.scatter(1, true, 0.0)

"""The triplet margin loss."""

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from avgzsl_bench.contracts import Loss


class Triplet(Loss):
    """Mean of max(0, d(anchor, positive) - d(anchor, negative) + margin), d Euclidean with 1e-6 added to the difference."""

    family = "triplet"

    class Settings(Loss.Settings):
        margin: float = Field(1.0, ge=0, description="By how much the negative must lie farther than the positive.")

    def __call__(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(anchor, positive, negative, margin=self.settings.margin)


MEMBER = Triplet

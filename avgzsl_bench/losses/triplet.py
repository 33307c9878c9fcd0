"""The triplet margin loss."""

import torch
from pydantic import Field
from torch import Tensor

from avgzsl_bench.contracts import Loss

SHIFT = 1e-6  # as torch's own loss, which has no stacked form; it keeps the slope of a distance of 0 finite


class Triplet(Loss):
    """Mean of max(0, d(anchor, positive) - d(anchor, negative) + margin), d Euclidean with 1e-6 added to the difference."""

    family = "triplet"

    class Settings(Loss.Settings):
        margin: float = Field(1.0, ge=0, description="By how much the negative must lie farther than the positive.")

    def __call__(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return by_clip(anchor, positive, negative, self.settings.margin).mean()


def by_clip(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """The loss of every clip, (clips,)."""
    near, far = (torch.linalg.vector_norm(anchor - other + SHIFT, dim=1) for other in (positive, negative))
    missing: Tensor = near - far + margin
    return missing.clamp(min=0)


MEMBER = Triplet

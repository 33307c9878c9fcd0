"""Hyper-multiple (Hong et al., 2023): AVCA, with the likeness of a batch's clips in sound aligned with that in pictures.

The paper compares the clips after a map into hyperbolic spaces, whose curvatures a small network predicts. In the released
code the curvature cancels: projection to the ball and logarithm at its centre scale each row, and the loss sees cosines
only. This file therefore computes the cosines of the encoded features as they are, for any number of curvatures. A row of
zeros has cosine 0 with all others; the released code divides by its length and gets NaN. Forms: as in AVCA.
"""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from avgzsl_bench import layers
from avgzsl_bench.methods import avca


class HyperMultiple(avca.Avca):
    """AVCA with aligned similarity structure."""

    paper = "hong2023"

    class Settings(avca.Avca.Settings):
        alignment_weight: float = Field(1e-3, ge=0, description="Weight of the alignment of sound and pictures.")

    settings: Settings

    def _terms(self, own: avca.Clips, other: avca.Clips, text: Tensor, text_negative: Tensor) -> dict[str, Tensor]:
        weight = self.settings.alignment_weight
        return {
            **super()._terms(own, other, text, text_negative),
            "alignment": weight * structure_gap(own.phi_video, own.phi_audio),
            "alignment_negative": weight * structure_gap(other.phi_video, other.phi_audio),
        }

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint; AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, avca.RELEASED_NAMES, ("fusenet1.",))  # curvatures, which nothing depends on


def structure_gap(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference of the cosine matrices (clips, clips) of two views (clips, width) of the same clips."""
    one, other = F.normalize(one), F.normalize(other)
    return F.mse_loss(one @ one.T, other @ other.T)


MEMBER = HyperMultiple

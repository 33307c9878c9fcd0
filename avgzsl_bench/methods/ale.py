"""ALE (Akata et al., 2016): one linear map from a clip to its class text, trained by a weighted approximate ranking loss.

A violation weighs more the nearer the true class is to the top of the list. The map, its extension to audio-visual clips and
its two forms are those of `_bilinear.py`.
"""

from pydantic import Field

from avgzsl_bench import losses
from avgzsl_bench.methods._bilinear import Bilinear


class Ale(Bilinear):
    """A bilinear compatibility of clips and class text, with violations weighted by rank."""

    paper = "akata2016"

    class Settings(Bilinear.Settings):
        classification_loss: losses.ClassificationLoss = Field("ale", validate_default=True, description="Loss of the logits.")


MEMBER = Ale

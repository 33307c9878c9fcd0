"""SJE (Akata et al., 2015): one linear map from a clip to its class text, trained by a structured hinge loss.

Only the worst violation costs. The map, its extension to audio-visual clips and its two forms are those of `_bilinear.py`.
"""

from pydantic import Field

from avgzsl_bench import losses
from avgzsl_bench.methods._bilinear import Bilinear


class Sje(Bilinear):
    """A bilinear compatibility of clips and class text, with the worst violation alone."""

    paper = "akata2015"

    class Settings(Bilinear.Settings):
        classification_loss: losses.ClassificationLoss = Field("sje", validate_default=True, description="Loss of the logits.")


MEMBER = Sje

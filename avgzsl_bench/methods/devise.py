"""DeViSE (Frome et al., 2013): one linear map from a clip to its class text, trained by a hinge rank loss.

Every class whose logit comes within a margin of the true one costs. The map, its extension to audio-visual clips and its
two forms are those of `_bilinear.py`.
"""

from pydantic import Field

from avgzsl_bench import losses
from avgzsl_bench.methods._bilinear import Bilinear


class Devise(Bilinear):
    """A bilinear compatibility of clips and class text, with the sum of all violations."""

    paper = "frome2013"

    class Settings(Bilinear.Settings):
        classification_loss: losses.ClassificationLoss = Field("devise", validate_default=True, description="Loss of the logits.")


MEMBER = Devise

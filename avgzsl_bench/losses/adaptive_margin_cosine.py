"""An adaptive margin from the cosine similarity of class texts, the quantity that KDA's released code computes."""

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from avgzsl_bench.contracts import Loss
from avgzsl_bench.losses._margin import MarginLoss


class AdaptiveMarginCosine(MarginLoss):
    """Equation 7 with the margin α · cos + β between the mean texts of two classes.

    The release adds it after the softmax and leaves the result out of its loss; here it stands where equation 7 puts it.
    """

    class Settings(Loss.Settings):
        alpha: float = Field(1.0, description="Factor α of the similarity.")
        beta: float = Field(0.0, description="Constant β.")

    def margins(self, logits: Tensor, texts: Tensor) -> Tensor:
        means = F.normalize(texts.mean(1))
        margins: Tensor = self.settings.alpha * (means @ means.T) + self.settings.beta
        return margins


MEMBER = AdaptiveMarginCosine

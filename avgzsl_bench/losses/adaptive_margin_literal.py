"""KDA's knowledge-aware adaptive margin as equation 6 prints it."""

from pydantic import Field
from torch import Tensor

from avgzsl_bench.contracts import Loss
from avgzsl_bench.losses._gaussian import between_classes
from avgzsl_bench.losses._margin import MarginLoss


class AdaptiveMarginLiteral(MarginLoss):
    """Equation 7 with the margin α · W + β, W the 2-Wasserstein distance between the texts of two classes.

    With α > 0 it is dissimilar classes that are pushed farther apart, against the paper's text. α and β are not stated.
    """

    class Settings(Loss.Settings):
        alpha: float = Field(1.0, description="Factor α of the distance.")
        beta: float = Field(0.0, description="Constant β.")

    def margins(self, logits: Tensor, texts: Tensor) -> Tensor:
        margins: Tensor = self.settings.alpha * between_classes(texts) + self.settings.beta
        return margins


MEMBER = AdaptiveMarginLiteral

"""Cross-entropy with a margin for every pair of true class and rival, which the adaptive margin losses share."""

import torch
from torch import Tensor
from torch.nn import functional as F

from avgzsl_bench.contracts import Loss


class MarginLoss(Loss):
    """KDA, equation 7: the margin is added to the logits of the wrong classes, and never to that of the true class."""

    family = "classification"

    def __call__(self, logits: Tensor, rows: Tensor, texts: Tensor) -> Tensor:
        margins = self.margins(logits.detach(), texts)
        return with_margins(logits, rows, margins)

    def margins(self, logits: Tensor, texts: Tensor) -> Tensor:
        """(classes, classes): row of the true class, column of the rival; the diagonal is not used."""
        raise NotImplementedError


def with_margins(logits: Tensor, rows: Tensor, margins: Tensor) -> Tensor:
    """Equation 7 for given margins (classes, classes)."""
    itself = torch.eye(len(margins), dtype=torch.bool, device=logits.device)
    return F.cross_entropy(logits + margins.masked_fill(itself, 0)[rows], rows)

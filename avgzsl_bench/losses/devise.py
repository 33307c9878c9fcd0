"""The hinge rank loss of DeViSE (Frome et al., 2013): every violating class counts."""

from torch import Tensor

from avgzsl_bench.losses._ranking import RankingLoss


class Devise(RankingLoss):
    """Mean over clips of the sum of the costs."""

    def __call__(self, logits: Tensor, rows: Tensor, texts: Tensor) -> Tensor:
        return self.costs(logits, rows).sum(1).mean()


MEMBER = Devise

"""The structured loss of SJE (Akata et al., 2015): only the worst violation counts."""

from torch import Tensor

from avgzsl_bench.losses._ranking import RankingLoss


class Sje(RankingLoss):
    """Mean over clips of the largest cost."""

    def __call__(self, logits: Tensor, rows: Tensor, texts: Tensor) -> Tensor:
        return self.costs(logits, rows).amax(1).mean()


MEMBER = Sje

"""The weighted approximate ranking loss of ALE (Akata et al., 2016): violations count more at the top of the list."""

import torch
from torch import Tensor

from avgzsl_bench.losses._ranking import RankingLoss


class Ale(RankingLoss):
    """Mean over clips of H(r) / r times the sum of the costs, with r the number of violating classes, H harmonic numbers."""

    def __call__(self, logits: Tensor, rows: Tensor, texts: Tensor) -> Tensor:
        costs = self.costs(logits, rows)
        rank = (costs > 0).sum(1)  # (clips,)
        steps = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
        weight = (1 / steps).cumsum(0)[rank - 1] / rank.clamp(min=1)  # a rank of 0 has no cost to weigh
        return (weight * costs.sum(1)).mean()


MEMBER = Ale

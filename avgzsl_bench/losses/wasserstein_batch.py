"""KDA's distribution alignment (equation 4) over the whole batch, with diagonal covariances."""

from torch import Tensor

from avgzsl_bench.losses import _gaussian as gaussian


class WassersteinBatch(gaussian.WassersteinLoss):
    """2-Wasserstein distance of all clips to the texts of their classes, each class counted as often as it has clips.

    An ablation: it does not see which clip is of which class, so exchanging classes leaves it as it was.
    """

    def __call__(self, clips: Tensor, texts: Tensor, rows: Tensor) -> Tensor:
        own = texts[rows].flatten(0, 1)  # (clips x texts, k)
        return self.distance(gaussian.diagonal(clips.mean(0) - own.mean(0), clips.var(0, correction=0), own.var(0, correction=0)))


MEMBER = WassersteinBatch

"""The 2-Wasserstein distance (KDA, equations 2 and 3) over the whole batch, with full covariances."""

from torch import Tensor

from avgzsl_bench.losses import _gaussian as gaussian


class WassersteinBatchLowRank(gaussian.WassersteinLoss):
    """Distance of all clips to the texts of their classes, each class counted as often as it has clips.

    There are fewer class texts than dimensions as a rule, so that only a (classes x texts)² matrix is decomposed; exact.
    An ablation: it does not see which clip is of which class, so exchanging classes leaves it as it was.
    Its eigenvalues make every step on CUDA wait for the device.
    """

    def __call__(self, clips: Tensor, texts: Tensor, rows: Tensor) -> Tensor:
        share = gaussian.membership(rows, len(texts), clips).mean(0)  # (classes,)
        weight = (share / texts.shape[1]).repeat_interleave(texts.shape[1])[:, None]
        flat = texts.flatten(0, 1)  # (classes x texts, k)
        text_mean = (weight * flat).sum(0)
        roots = weight.sqrt() * (flat - text_mean)
        deviations = clips - clips.mean(0)
        along = deviations @ roots.T  # (clips, classes x texts)
        total = deviations.square().sum(1).mean() + roots.square().sum()
        return self.distance(gaussian.low_rank(clips.mean(0) - text_mean, total, along.T @ along / len(clips)))


MEMBER = WassersteinBatchLowRank

"""The 2-Wasserstein distance (KDA, equations 2 and 3) class by class, with full covariances."""

import torch
from torch import Tensor

from avgzsl_bench.losses import _gaussian as gaussian


class WassersteinLowRank(gaussian.WassersteinLoss):
    """Mean over the classes in the batch of the distance of a class's clips to its texts.

    Few texts a class make their covariance one of low rank, so that only a (texts, texts) matrix a class is decomposed;
    exact, where equation 4 is so for commuting covariances only. With one text a class equal to `wasserstein`.
    Its eigenvalues make every step on CUDA wait for the device.
    """

    def __call__(self, clips: Tensor, texts: Tensor, rows: Tensor) -> Tensor:
        member = gaussian.membership(rows, len(texts), clips)  # (clips, classes)
        means, deviations = gaussian.class_means(clips, member)
        text_means, roots = gaussian.roots_of(texts)  # (classes, k), (classes, n, k)
        along = torch.einsum("bnk,bk->bn", roots[rows], deviations)  # each clip along its class's texts
        pairs = along[:, :, None] * along[:, None, :]  # (clips, n, n)
        gram = gaussian.mean_by_class(pairs.flatten(1), member).view(len(texts), *pairs.shape[1:])
        spread = gaussian.mean_by_class(deviations.square().sum(1, keepdim=True), member)[:, 0]
        total = spread + roots.square().sum((1, 2))  # (classes,)
        squared = gaussian.low_rank(means - text_means, total, gram)
        return gaussian.mean_over_present(self.distance(squared), member)


MEMBER = WassersteinLowRank

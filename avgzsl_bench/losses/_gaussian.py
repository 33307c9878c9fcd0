"""Gaussians of clips and of class text, and the distances between them that several losses share.

On CUDA torch's svd and eigvalsh wait for the device: a step with several texts a class (`between_classes`) or with a
low-rank distance (`low_rank`) costs a synchronisation with the host. Diagonal distances and single texts need neither.
"""

import torch
from pydantic import Field
from torch import Tensor

from avgzsl_bench.contracts import Loss

TINY = 1e-6  # inside square roots, whose slope has no bound at 0


class WassersteinLoss(Loss):
    """An alignment loss by a 2-Wasserstein distance."""

    family = "alignment"

    class Settings(Loss.Settings):
        root: bool = Field(True, description="The distance, as printed, or its square.")

    def distance(self, squared: Tensor) -> Tensor:
        """The distance of its square, or the square itself."""
        return (squared.clamp(min=0) + TINY**2).sqrt() if self.settings.root else squared


def membership(rows: Tensor, classes: int, like: Tensor) -> Tensor:
    """(clips, classes), 1 where a clip is of a class: sums over classes become products that `vmap` can stack."""
    return (rows[:, None] == torch.arange(classes, device=rows.device)).to(like.dtype)


def class_means(clips: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
    """Each class's mean clip (classes, k), 0 for a class without clips, and its deviations (clips, k) from that."""
    means = mean_by_class(clips, member)
    return means, clips - member @ means


def mean_by_class(values: Tensor, member: Tensor) -> Tensor:
    """(classes, k) means of (clips, k), 0 for a class without clips."""
    return member.T @ values / member.sum(0).clamp(min=1)[:, None]


def mean_over_present(values: Tensor, member: Tensor) -> Tensor:
    """The mean of (classes,) values over the classes that have clips."""
    present = (member.sum(0) > 0).to(values.dtype)
    return (values * present).sum() / present.sum()


def diagonal(means: Tensor, variances: Tensor, other_variances: Tensor) -> Tensor:
    """Squared distance (...,) of diagonal Gaussians: `means` are differences of means, all (..., k).

    Exactly the squared difference of means plus the other's total variance where one of the two has none.
    """
    overlap = (variances * other_variances + TINY**2).sqrt() - TINY
    return (means.square() + variances + other_variances - 2 * overlap).sum(-1)


def low_rank(means: Tensor, total: Tensor, gram: Tensor) -> Tensor:
    """Squared distance (...,) from the difference of means (..., k), the sum of both covariances' traces (...,) and YΣYᵀ.

    Y (..., n, k) is a root of one covariance, YᵀY, and Σ the other: the trace of the coupling term
    (S^½ΣS^½)^½ with S = YᵀY is the sum of the square roots of the n eigenvalues of `gram` = YΣYᵀ (..., n, n).
    """
    overlap: Tensor = (torch.linalg.eigvalsh(gram).clamp(min=0) + TINY**2).sqrt() - TINY
    return means.square().sum(-1) + total - 2 * overlap.sum(-1)


def roots_of(texts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (..., k) of (..., texts, k), and Y (..., texts, k) with YᵀY their covariance."""
    means = texts.mean(-2)
    return means, (texts - means[..., None, :]) / texts.shape[-2] ** 0.5


def between_classes(texts: Tensor) -> Tensor:
    """W (classes, classes) of KDA's equation 6, between the Gaussians of every two classes' texts (classes, texts, k).

    W² = ‖μ - μ'‖² + ‖Σ^½ - Σ'^½‖²_F.
    """
    means, roots = roots_of(texts)
    means = means - means.mean(0)  # smaller numbers cancel less
    squares = means.square().sum(1)
    gaps = squares[:, None] + squares - 2 * means @ means.T
    spreads = between_roots(roots) if texts.shape[1] > 1 else 0.0  # one text has no covariance
    return (gaps + spreads).clamp(min=0).sqrt()


def between_roots(roots: Tensor) -> Tensor:
    """‖Σ^½ - Σ'^½‖²_F (classes, classes) of covariances Σ = YᵀY, from Y (classes, n, k).

    Σ^½ = V diag(s) Vᵀ with the singular values s of Y, so that no (k, k) matrix is formed.
    """
    _, scale, axes = torch.linalg.svd(roots, full_matrices=False)  # (classes, n), (classes, n, k)
    cosines = torch.einsum("iak,jbk->ijab", axes, axes)
    overlap = torch.einsum("ia,jb,ijab->ij", scale, scale, cosines.square())
    total: Tensor = scale.square().sum(1)
    return total[:, None] + total - 2 * overlap

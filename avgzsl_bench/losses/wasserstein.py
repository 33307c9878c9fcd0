"""KDA's distribution alignment (equation 4) class by class, with diagonal covariances."""

from torch import Tensor

from avgzsl_bench.losses import _gaussian as gaussian


class Wasserstein(gaussian.WassersteinLoss):
    """Mean over the classes in the batch of the 2-Wasserstein distance of a class's clips to its texts.

    With one text a class the text's Gaussian is a point, and this is the class-wise root mean squared distance of clips
    to their text. Exact for diagonal covariances.
    """

    def __call__(self, clips: Tensor, texts: Tensor, rows: Tensor) -> Tensor:
        member = gaussian.membership(rows, len(texts), clips)  # (clips, classes)
        means, deviations = gaussian.class_means(clips, member)
        variances = gaussian.mean_by_class(deviations.square(), member)  # (classes, k)
        squared = gaussian.diagonal(means - texts.mean(1), variances, texts.var(1, correction=0))
        return gaussian.mean_over_present(self.distance(squared), member)


MEMBER = Wasserstein

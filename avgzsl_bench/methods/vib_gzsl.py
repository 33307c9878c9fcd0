"""VIB-GZSL (Li et al., 2023), re-implemented from the abstract: only what transfers from clips to text should be kept.

The abstract says: the joint representation of a clip is a product of experts over those of its sound and its picture, and
a variational information bottleneck narrows the joint one and those of sound, picture and text. All else is chosen here:
diagonal Gaussians around a standard normal prior, which is an expert too; a clip's class is told by the likelihood of its
vector under a unit Gaussian around each class's; the text is decoded from every vector; means are scored by their distance.
"""

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings


class Gaussian(NamedTuple):
    """Independent normal distributions."""

    mean: Tensor  # (rows, latent)
    log_variance: Tensor  # (rows, latent)

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence from the standard normal, summed over the latent axis, mean over rows."""
        apart = self.mean.square() + self.log_variance.exp() - self.log_variance - 1
        return apart.sum(1).mean() / 2


def product_of_experts(*experts: Gaussian) -> Gaussian:
    """The normalised product of the densities of some Gaussians and the standard normal: precisions add up."""
    precisions = [torch.exp(-expert.log_variance) for expert in experts]
    precision = 1 + torch.stack(precisions).sum(0)
    weighted = torch.stack([expert.mean * own for expert, own in zip(experts, precisions, strict=True)])
    return Gaussian(weighted.sum(0) / precision, -precision.log())


class Encoder(nn.Module):
    """Features to a Gaussian."""

    def __init__(self, inputs: int, hidden: int, latent: int, dropout: float) -> None:
        super().__init__()
        self.hidden = layers.projection(inputs, hidden, dropout)
        self.mean, self.log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)

    def forward(self, features: Tensor) -> Gaussian:
        """(rows, inputs) to (rows, latent) each."""
        hidden = self.hidden(features)
        return Gaussian(self.mean(hidden), self.log_variance(hidden))


class VibGzsl(Method):
    """Variational information bottlenecks over a product of experts."""

    paper = "li2023"
    known_from = "abstract"

    class Settings(TrainingSettings):
        bottleneck_weight: float = Field(1e-3, ge=0, description="β: weight of every divergence from the prior.")
        dropout: float = Field(0.2, ge=0, lt=1, description="Dropout of the hidden layers.")
        hidden: int = Field(512, ge=1, description="Width of the hidden layers.")
        latent: int = Field(64, ge=1, description="Width of the representations.")

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        widths = (settings.hidden, settings.latent, settings.dropout)
        self.encode_audio = Encoder(shapes.audio, *widths)
        self.encode_video = Encoder(shapes.video, *widths)
        self.encode_text = Encoder(shapes.text, *widths)
        hidden = layers.projection(settings.latent, settings.hidden, settings.dropout)
        self.decode = nn.Sequential(hidden, nn.Linear(settings.hidden, shapes.text))  # one for all
        self.noise = layers.Noise()

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        texts = classes.vectors.mean(1)  # (classes, dim)
        audio, video = self.encode_audio(batch.audio), self.encode_video(batch.video)
        clips = {"joint": product_of_experts(audio, video), "audio": audio, "video": video}
        text = self.encode_text(texts)
        centre = self._draw(text)  # z_w (classes, latent)
        terms = {"reconstruction_text": F.mse_loss(self.decode(centre), texts)}
        for name, given in {**clips, "text": text}.items():
            terms[f"bottleneck_{name}"] = self.settings.bottleneck_weight * given.divergence()
        for name, given in clips.items():
            drawn = self._draw(given)  # z (clips, latent)
            terms[f"classification_{name}"] = F.cross_entropy(log_likelihood(drawn, centre), batch.label)
            terms[f"reconstruction_{name}"] = F.mse_loss(self.decode(drawn), texts[batch.label])
        return terms

    def _draw(self, given: Gaussian) -> Tensor:
        """A sample in training, the mean elsewhere: `layers.Noise` would draw in evaluation, too."""
        if not self.training:
            return given.mean
        drawn: Tensor = given.mean + torch.exp(given.log_variance / 2) * self.noise(given.mean)
        return drawn

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        mean: Tensor = self.encode_text(classes.vectors.mean(1)).mean
        return mean

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return product_of_experts(self.encode_audio(batch.audio), self.encode_video(batch.video)).mean, rows


def log_likelihood(points: Tensor, centres: Tensor) -> Tensor:
    """Of points (clips, k) under a unit Gaussian around each centre (classes, k), but for what all centres share."""
    return points @ centres.T - centres.square().sum(1) / 2


MEMBER = VibGzsl

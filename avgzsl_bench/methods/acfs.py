"""ACFS (Zheng et al., 2023): clips of unseen classes are synthesised by a GAN, held apart by contrast and by a classifier.

Re-implemented from the abstract: nothing of networks, weights or training is known, so that all of them are ours. A conditional
Wasserstein GAN with gradient penalty; a supervised contrastive loss (Khosla et al., 2020) on an embedding of real and
generated clips; the cross-entropy of generated clips under a classifier of the seen classes that learns from real ones only.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.methods._generative import Generative, GenerativeSettings, features

CRITIC_STEPS = 5


class Acfs(Generative):
    """A Wasserstein GAN of clips whose classes are kept apart."""

    paper = "zheng2023"
    known_from = "abstract"
    turns = ("critic",) * CRITIC_STEPS + ("generator",)

    class Settings(GenerativeSettings):
        contrastive_weight: float = Field(1.0, ge=0, description="Weight of the contrastive loss beside the critic.")
        classification_weight: float = Field(1.0, ge=0, description="Weight of the seen classifier's loss beside the critic.")
        temperature: float = Field(0.1, gt=0, description="Temperature of the contrastive loss.")
        embedding: int = Field(128, ge=1, description="Width of the embedding that is contrasted.")

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.embedding = nn.Sequential(
            nn.Linear(self.width, settings.critic_hidden), nn.ReLU(), nn.Linear(settings.critic_hidden, settings.embedding)
        )
        self.classifier = nn.Linear(self.width, shapes.classes)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {
            "critic": [*self.critic.parameters(), *self.classifier.parameters()],
            "generator": [*self.generator.parameters(), *self.embedding.parameters()],
        }

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        real, text = features(batch), classes.vectors.mean(1)[batch.label]
        fake = self.generate(self.draw(text), text)
        if turn == "critic":
            return self._critic(real, fake.detach(), text, batch.label)
        contrast = contrastive(
            torch.cat([self.embedding(real), self.embedding(fake)]), batch.label.tile(2), self.settings.temperature
        )
        return {
            "adversary": -self.judge(fake, text).mean(),
            "contrast": self.settings.contrastive_weight * contrast,
            "classification": self.settings.classification_weight * F.cross_entropy(self.classifier(fake), batch.label),
        }

    def _critic(self, real: Tensor, fake: Tensor, text: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {
            "critic": self.judge(fake, text).mean() - self.judge(real, text).mean(),
            "penalty": self.penalty(lambda clips: self.judge(clips, text), real, fake),
            "classifier": F.cross_entropy(self.classifier(real), label),
        }


def contrastive(values: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss of (rows, k): those of one class attract each other; no class stands in one row only."""
    near = F.normalize(values) @ F.normalize(values).T / temperature  # (rows, rows)
    own = torch.eye(len(near), dtype=torch.bool, device=near.device)
    log_share = near - near.masked_fill(own, -torch.inf).logsumexp(1, keepdim=True)
    positive = (label[:, None] == label) & ~own
    means = (log_share * positive).sum(1) / positive.sum(1)
    return -means.mean()


MEMBER = Acfs

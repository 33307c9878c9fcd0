"""f-VAEGAN-D2 (Xian et al., 2019): unseen clips are synthesised from class text by a VAE whose decoder is a GAN's generator.

As extended to audio-visual clips by Mercea et al. (2022). Inductive: the unconditional critic D2, which in the paper sees
unlabelled clips of unseen classes, sees the training clips without their text. One weight γ serves both critics.
Reference form, as the released code: one critic step, then one generator step with the same clips and the same noise; D2
is trained but judges nothing; the generator is also judged on reconstructions; the VAE's terms are sums over the batch; the
classifier is given synthetic clips at length one, too. Under reference rules its scores get no seen bias. Its second
classifier, for zero-shot alone, and its choice of epochs on the scored clips are not followed: see the protocol.
"""

from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.methods._generative import Generative, GenerativeSettings, critic, features

CRITIC_STEPS = 5


class FVaeganD2(Generative):
    """A variational autoencoder and a Wasserstein GAN that share the generator, with two critics."""

    paper = "xian2019"
    reference_biases = np.zeros(1)

    class Settings(GenerativeSettings):
        form: Literal["paper", "reference"] = Field("paper", description="As the paper trains, or as the released code does.")
        adversarial_weight: float = Field(
            1562.5,
            ge=0,
            description="γ, the weight of the critics beside the VAE; the released 1e5 is beside sums over 64 clips.",
        )
        encoder_hidden: int = Field(300, ge=1, description="Hidden width of the encoder.")

        @model_validator(mode="after")
        def _reference_reads(self) -> Self:
            if self.form == "reference" and self.output != "linear":
                raise ValueError("the reference form always ends in a sigmoid; leave output out")
            return self

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.reference = settings.form == "reference"
        self.own_batches = not self.reference
        self.bounded = self.bounded or self.reference
        self.turns = ("critic",) * (1 if self.reference else CRITIC_STEPS) + ("generator",)
        self.critic_alone = critic(self.width, settings.critic_hidden)  # D2
        self.encoder = nn.Sequential(nn.Linear(self.width + shapes.text, settings.encoder_hidden), nn.ReLU())  # E
        self.mean = nn.Linear(settings.encoder_hidden, settings.latent)  # μ
        self.log_variance = nn.Linear(settings.encoder_hidden, settings.latent)  # log σ²
        self.encoder_noise = layers.Noise()  # ε

    def parts(self) -> dict[str, list[nn.Parameter]]:
        critics, makers = (self.critic, self.critic_alone), (self.generator, self.encoder, self.mean, self.log_variance)
        return {"critic": _parameters(*critics), "generator": _parameters(*makers)}

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        clips, text = features(batch), classes.vectors.mean(1)[batch.label]
        return self._critics(clips, text) if turn == "critic" else self._makers(clips, text)

    def synthesise(self, noise: Tensor, text: Tensor) -> Tensor:
        made = super().synthesise(noise, text)
        return F.normalize(made) if self.reference else made

    def _critics(self, real: Tensor, text: Tensor) -> dict[str, Tensor]:
        calls = self.noise.calls.clone()
        fake = self.generate(self.draw(text), text).detach()
        if self.reference:
            self.noise.calls.copy_(calls)  # so that the generator's turn draws the same z again
        return {
            "conditional": self.judge(fake, text).mean() - self.judge(real, text).mean(),
            "conditional_penalty": self.penalty(lambda clips: self.judge(clips, text), real, fake),
            "unconditional": self.critic_alone(fake).mean() - self.critic_alone(real).mean(),
            "unconditional_penalty": self.penalty(self.critic_alone, real, fake),
        }

    def _makers(self, real: Tensor, text: Tensor) -> dict[str, Tensor]:
        hidden = self.encoder(torch.cat([real, text], 1))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)  # (clips, latent)
        code = mean + torch.exp(log_variance / 2) * self.encoder_noise(mean)
        rebuilt = self.generator(torch.cat([code, text], 1))  # x̂, before the activation
        fake = self.generate(self.draw(text), text)  # x̃
        other = self.judge(self.activate(rebuilt), text) if self.reference else self.critic_alone(fake)
        clips = 1 if self.reference else len(real)  # a VAE term is a sum over clips, or their mean
        return {
            "adversary": -self.settings.adversarial_weight * (self.judge(fake, text).mean() + other.mean()),
            "reconstruction": self._distance(rebuilt, real) / clips,
            "divergence": 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / clips,
        }

    def _distance(self, rebuilt: Tensor, real: Tensor) -> Tensor:
        """−log p(x|z, c), summed: of a Bernoulli behind a sigmoid (negative features count as 0), or of a Gaussian."""
        if self.bounded:
            return F.binary_cross_entropy_with_logits(rebuilt, real.clamp(0, 1), reduction="sum")
        return F.mse_loss(rebuilt, real, reduction="sum") / 2


def _parameters(*modules: nn.Module) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


MEMBER = FVaeganD2

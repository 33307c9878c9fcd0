"""What generative methods share: networks, the gradient penalty, and the softmax classifier fitted to real and synthetic clips.

A clip is [audio; video] scaled to length one. To score, a classifier over seen and unseen classes is fitted to the training
clips and to synthetic ones of the unseen classes; zero-shot scores are its unseen columns, so that U never exceeds ZSL.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers, randomness
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings

INITIAL = 0.02  # standard deviation of the initial weights of critics and of the classifier
EPSILON = 1e-8  # of Adam
NOISE_CHUNK = 65536  # synthetic clips whose noise is drawn at once, to bound memory


class GenerativeSettings(TrainingSettings):
    """Settings of the shared networks, of their training and of the classifier."""

    batches_per_epoch: int = Field(100, ge=1, description="Generator steps an epoch; each follows the critic's steps.")
    batch_size: int = Field(64, ge=2, description="Clips a step, drawn class-uniformly with replacement.")
    adam_beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment decay, also of the classifier.")
    plateau_factor: float = Field(1.0, gt=0, le=1, description="Factor of a learning-rate drop; 1 keeps the rate.")
    score_every: int = Field(10, ge=1, description="Epochs from one fit and scoring on validation to the next; the last counts.")
    latent: int = Field(300, ge=1, description="Width of the noise z.")
    generator_hidden: int = Field(512, ge=1, description="Hidden width of the generator.")
    critic_hidden: int = Field(512, ge=1, description="Hidden width of every critic.")
    output: Literal["sigmoid", "linear"] = Field(
        "linear", description="Last activation of the generator: none, or a sigmoid where features are never negative."
    )
    penalty_weight: float = Field(10.0, ge=0, description="λ, the weight of the gradient penalty.")
    synthetic_per_class: int = Field(1000, ge=1, description="Synthetic clips of every unseen class.")
    classifier_epochs: int = Field(30, ge=1, description="Epochs of the classifier; stage 1 selects one of them.")
    classifier_batch_size: int = Field(1000, ge=1, description="Real and synthetic clips a step of the classifier.")
    classifier_learning_rate: float = Field(1e-3, gt=0, description="Learning rate of the classifier (Adam).")


class Uniform(layers.Keyed):
    """Keyed shares in [0, 1), one a row."""

    def forward(self, like: Tensor) -> Tensor:
        """(rows, 1), of the dtype and device of `like` (rows, ...)."""
        return randomness.uniform(self.next_key(), (len(like), 1)).to(like.dtype)


class Generative(Method):
    """A generator of clips from noise and class text, a critic of both, and the classifier."""

    own_batches = True
    fits_stacked = True
    settings: Any

    def __init__(self, settings: GenerativeSettings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.classifier_epochs = settings.classifier_epochs
        self.width = shapes.audio + shapes.video
        self.critic = critic(self.width + shapes.text, settings.critic_hidden)  # D1, which knows the class text
        self.generator = nn.Sequential(
            nn.Linear(settings.latent + shapes.text, settings.generator_hidden),
            nn.ReLU(),
            nn.Linear(settings.generator_hidden, self.width),
        )  # G, before its last activation
        self.bounded = settings.output == "sigmoid"
        self.noise = layers.Noise()
        self.shares = Uniform()

    def draw(self, text: Tensor) -> Tensor:
        """z (rows, latent), one for each row of text."""
        drawn: Tensor = self.noise(text.new_empty(len(text), self.settings.latent))
        return drawn

    def generate(self, noise: Tensor, text: Tensor) -> Tensor:
        """Synthetic clips (rows, width)."""
        return self.activate(self.generator(torch.cat([noise, text], 1)))

    def synthesise(self, noise: Tensor, text: Tensor) -> Tensor:
        """Synthetic clips (rows, width) as the classifier is given them."""
        return self.generate(noise, text)

    def activate(self, made: Tensor) -> Tensor:
        """The last activation of the generator."""
        return made.sigmoid() if self.bounded else made

    def judge(self, clips: Tensor, text: Tensor) -> Tensor:
        """D1 (rows, 1), higher for clips that look real beside their class text."""
        judged: Tensor = self.critic(torch.cat([clips, text], 1))
        return judged

    def penalty(self, judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """λ times the mean square of (slope of a critic between real and fake clips, less one)."""
        penalty: Tensor = self.settings.penalty_weight * gradient_penalty(judge, real, fake, self.shares(real))
        return penalty

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        text = classes.vectors.mean(1)
        unseen = (~classes.seen).nonzero().squeeze(1)
        label = unseen.repeat_interleave(self.settings.synthetic_per_class)  # (synthetic,)
        noise = torch.cat([self.draw(text[rows]) for rows in label.split(NOISE_CHUNK)])
        own = _rows_of_training(training.classes, classes)

        def clips(real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
            # made again in every step: all synthetic clips at once would not fit the memory
            synthetic = self.synthesise(noise[made], text[label[made]])
            batch = Batch(audio=training.batch.audio[real], video=training.batch.video[real])
            return torch.cat([features(batch), synthetic]), torch.cat([own[training.batch.label[real]], label[made]])

        return self._fit(clips, self._batches(len(training.batch.label), len(label)), text)

    def _batches(self, real: int, made: int) -> list[tuple[Tensor, Tensor]]:
        """Indices of real and synthetic clips, shuffled once and dealt out in equal shares to the steps of an epoch."""
        steps = math.ceil((real + made) / self.settings.classifier_batch_size)
        bits = (randomness.random_bits(self.noise.next_key(), (count,)) for count in (real, made))
        orders = (torch.argsort(each, stable=True).tensor_split(steps) for each in bits)
        return list(zip(*orders, strict=True))

    def _fit(
        self,
        clips: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        batches: Sequence[tuple[Tensor, Tensor]],
        text: Tensor,
    ) -> Tensor:
        """Weights and biases of a softmax classifier after each of its epochs, (epochs, classes, width + 1)."""
        rows = F.pad(INITIAL * self.noise(text.new_empty(len(text), self.width)), (0, 1))
        slope = torch.func.grad(lambda rows, given, label: F.cross_entropy(_with_one(given) @ rows.T, label))
        # Adam written out: an optimiser object cannot be mapped over the copies of several runs
        first, second = self.settings.adam_beta1, self.settings.adam_beta2
        mean, square, steps, kept = torch.zeros_like(rows), torch.zeros_like(rows), 0, []
        for _ in range(self.settings.classifier_epochs):
            for real, made in batches:
                gradient = slope(rows, *clips(real, made))
                steps += 1
                mean = first * mean + (1 - first) * gradient
                square = second * square + (1 - second) * gradient.square()
                scale = (square / (1 - second**steps)).sqrt() + EPSILON
                rows = rows - self.settings.classifier_learning_rate / (1 - first**steps) * mean / scale
            kept.append(rows)
        return torch.stack(kept)

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return _with_one(features(batch)), rows

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        clips, classifiers = self.embed(batch, rows)
        return clips @ classifiers.T


def critic(inputs: int, hidden: int) -> nn.Sequential:
    """A critic's network, (rows, inputs) to (rows, 1), with small initial weights."""
    first, last = nn.Linear(inputs, hidden), nn.Linear(hidden, 1)
    for layer in (first, last):
        nn.init.normal_(layer.weight, 0.0, INITIAL)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.LeakyReLU(0.2), last)


def features(batch: Batch) -> Tensor:
    """[audio; video] of unit length, (clips, width)."""
    return F.normalize(torch.cat([batch.audio, batch.video], 1))


def gradient_penalty(judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Mean squared distance to one of the slope of `judge` at share · real + (1 − share) · fake (Gulrajani et al., 2017)."""
    slope = torch.func.grad(lambda clips: judge(clips).sum())(share * real + (1 - share) * fake)  # (clips, width)
    penalty: Tensor = (slope.norm(dim=1) - 1).square().mean()
    return penalty


def _rows_of_training(trained: ClassText, classes: ClassText) -> Tensor:
    """The candidate row of every training class: both stand in ascending order, and training classes are the seen ones.

    Under reference rules stage 2 is also scored on its own training data, of which every candidate is a training class.
    """
    if len(trained.vectors) == len(classes.vectors):
        return torch.arange(len(classes.vectors), device=classes.vectors.device)
    return classes.seen.nonzero().squeeze(1)


def _with_one(clips: Tensor) -> Tensor:
    return F.pad(clips, (0, 1), value=1.0)  # the weight of the one is the bias

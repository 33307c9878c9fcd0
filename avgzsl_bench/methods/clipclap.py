"""ClipClap-GZSL (Kurzendörfer et al., 2024): features of vision-language and audio-language models, and the text of both.

Symbols are the paper's: o and w' encoded clip and class text, θ their joint space, ρ what is decoded from it. The text is
whatever class text is given; the paper joins those of CLIP and CLAP. Reference form, as the released code does: after each
step an unused pass moves batch-norm statistics.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers, losses
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings

RELEASED_NAMES = {
    "O_enc.fc.": "encode_clips.",
    "W_enc.fc.": "encode_text.",
    "O_proj.fc.": "project_clips.",
    "W_proj.fc.": "project_text.",
    "D_o.fc.": "decode_clips.",
    "D_w.fc.": "decode_text.",
}


class ClipClap(Method):
    """Clip and class text in one space, from joined features and joined text."""

    paper = "kurzendorfer2024"
    reference_biases = np.linspace(0.0, 5.0, 76)

    class Settings(TrainingSettings):
        form: Literal["paper", "reference"] = Field("paper", description="No unused pass, or as the released code does.")
        batch_size: int = Field(64, ge=2, description="Clips a step, drawn class-uniformly with replacement.")
        batches_per_epoch: int = Field(300, ge=1, description="Optimiser steps an epoch.")
        learning_rate: float = Field(1e-4, gt=0, description="Initial learning rate of Adam.")
        weight_decay: float = Field(1e-5, ge=0, description="L2 penalty added to the gradient by Adam.")
        dropout: float = Field(0.1, ge=0, lt=1, description="Dropout after every layer.")
        width: int = Field(512, ge=1, description="Width of o, of w' and of the hidden layers.")
        joint_width: int = Field(64, ge=1, description="Width of the joint space.")
        classification_weight: float = Field(1.0, ge=0, description="Weight of l_ce; 0 leaves it out.")
        reconstruction_weight: float = Field(1.0, ge=0, description="Weight of both terms of l_rec; 0 leaves them out.")
        regression_weight: float = Field(1.0, ge=0, description="Weight of l_reg; 0 leaves it out.")
        classification_loss: losses.ClassificationLoss = Field("cross_entropy", validate_default=True, description="l_ce.")

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        if settings.form == "reference":
            self.turns = ("all", "statistics")
        width, joint, dropout = settings.width, settings.joint_width, settings.dropout
        self.encode_clips = layers.projection(shapes.video + shapes.audio, width, dropout)  # O_enc
        self.encode_text = layers.projection(shapes.text, width, dropout)  # W_enc
        self.project_clips = layers.perceptron(width, width, joint, dropout)  # O_proj
        self.project_text = layers.projection(width, joint, dropout)  # W_proj
        self.decode_clips = layers.perceptron(joint, width, width, dropout)  # D_o
        self.decode_text = layers.projection(joint, width, dropout)  # D_w
        self.classification_loss = losses.make(settings.classification_loss)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {"all": list(self.parameters())}

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        texts = classes.vectors.mean(1)  # (classes, dim)
        theta = self._clips(batch)  # θ_o (clips, joint width)
        encoded = self.encode_text(texts[batch.label])  # w' (clips, width): it learns, too
        if turn == "statistics":
            self.project_text(encoded)
            return {}
        rho = self.decode_clips(theta)  # ρ_o
        theta_text = self.project_text(encoded)  # θ_w
        rho_text = self.decode_text(theta_text)  # ρ_w
        logits = theta @ self._texts(texts).T  # (clips, classes)
        own = self.settings
        return {
            "classification": own.classification_weight * self.classification_loss(logits, batch.label, classes.vectors),
            "reconstruction": own.reconstruction_weight * F.mse_loss(rho, encoded),
            "reconstruction_text": own.reconstruction_weight * F.mse_loss(rho_text, encoded),
            "regression": own.regression_weight * F.mse_loss(theta, theta_text),
        }

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        return self._texts(classes.vectors.mean(1))

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self._clips(batch), rows

    def _clips(self, batch: Batch) -> Tensor:
        theta: Tensor = self.project_clips(self.encode_clips(torch.cat([batch.video, batch.audio], 1)))
        return theta

    def _texts(self, texts: Tensor) -> Tensor:
        theta: Tensor = self.project_text(self.encode_text(texts))
        return theta

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint; AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, RELEASED_NAMES)


MEMBER = ClipClap

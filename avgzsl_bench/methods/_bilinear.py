"""What DeViSE, ALE and SJE share: one linear map from a clip to its class text, trained by a ranking loss of the dot products.

As extended to audio-visual clips by Mercea et al. (2022): pictures and sound are concatenated. Paper form: scored by
the dot product that is trained. Reference form: scored by the Euclidean distance to the raw text vectors.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers, losses
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings


class Bilinear(Method):
    """A bilinear compatibility of clips and class text; members differ in the default of their loss."""

    class Settings(TrainingSettings):
        form: Literal["paper", "reference"] = Field("paper", description="Score by dot product, or by Euclidean distance.")
        dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of the clip and, apart from it, of the class text.")
        norm_inputs: bool = Field(False, description="Scale the concatenated features of a clip to length one.")
        classification_loss: losses.ClassificationLoss = Field(description="Loss of the logits.")

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.project = nn.Linear(shapes.video + shapes.audio, shapes.text, bias=False)
        self.drop_clips = layers.Dropout(settings.dropout)
        self.drop_texts = layers.Dropout(settings.dropout)
        self.classification_loss = losses.make(settings.classification_loss)

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        texts = self.drop_texts(classes.vectors)  # (classes, texts, dim)
        logits = self._clips(batch) @ texts.mean(1).T  # (clips, classes)
        return {"classification": self.classification_loss(logits, batch.label, classes.vectors)}

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        return classes.vectors.mean(1)

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self._clips(batch), rows

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        if self.settings.form == "reference":
            return super().scores(batch, rows)
        clips, texts = self.embed(batch, rows)
        return clips @ texts.T

    def _clips(self, batch: Batch) -> Tensor:
        features = torch.cat([batch.video, batch.audio], 1)  # (clips, dims)
        if self.settings.norm_inputs:
            features = F.normalize(features)
        projected: Tensor = self.project(self.drop_clips(features))
        return projected

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint; AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, {"bilinear": "project"})

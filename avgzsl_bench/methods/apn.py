"""APN (Xu et al., 2020): attribute prototypes regress the class text of a clip, beside a bilinear compatibility with it.

As ported to audio-visual clips by Mercea et al. (2022): pictures and sound are concatenated, and as there is no map of
places, nothing is left of the losses on them. So the prototypes are a second linear map, trained as in the port beside the
one that is scored; they share no parameter with it and change no score.
Paper form: cross-entropy of one softmax, scored by the dot product that is trained. Reference form: the softmax stands inside
the cross-entropy's own, and scores are Euclidean distances to the raw text vectors.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers, losses
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings

RELEASED_NAMES = {"prototype_vectors.layer4": "prototypes.weight", "ALE_vector": "project.weight"}


class Apn(Method):
    """Two linear maps to the class text, each classified and regressed; the first is scored."""

    paper = "xu2020"

    class Settings(TrainingSettings):
        form: Literal["paper", "reference"] = Field("paper", description="One softmax and dot products, or as released.")
        norm_inputs: bool = Field(False, description="Scale the concatenated features of a clip to length one.")
        classification_loss: losses.ClassificationLoss = Field(
            "cross_entropy", validate_default=True, description="Loss of the logits (reference form: of their softmax)."
        )

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.prototypes = nn.Linear(shapes.video + shapes.audio, shapes.text, bias=False)
        self.project = nn.Linear(shapes.video + shapes.audio, shapes.text, bias=False)
        for linear in (self.prototypes, self.project):
            nn.init.uniform_(linear.weight, 0, 2e-4)
        self.classification_loss = losses.make(settings.classification_loss)

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        features = self._features(batch)
        scored, beside = self.project(features), self.prototypes(features)  # (clips, dim)
        text = classes.vectors.mean(1)[batch.label]
        return {
            "classification": self._classification(scored, batch, classes),
            "regression": F.mse_loss(scored, text),
            "prototype_classification": self._classification(beside, batch, classes),
            "prototype_regression": F.mse_loss(beside, text),
        }

    def _classification(self, clips: Tensor, batch: Batch, classes: ClassText) -> Tensor:
        logits = clips @ classes.vectors.mean(1).T  # (clips, classes)
        if self.settings.form == "reference":
            logits = logits.softmax(1)
        return self.classification_loss(logits, batch.label, classes.vectors)

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        return classes.vectors.mean(1)

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.project(self._features(batch)), rows

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        if self.settings.form == "reference":
            return super().scores(batch, rows)
        clips, texts = self.embed(batch, rows)
        return clips @ texts.T

    def _features(self, batch: Batch) -> Tensor:
        features = torch.cat([batch.video, batch.audio], 1)  # (clips, dims)
        return F.normalize(features) if self.settings.norm_inputs else features

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint; AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, RELEASED_NAMES)


MEMBER = Apn

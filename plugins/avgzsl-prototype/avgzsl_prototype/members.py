"""A method (one linear map of clips onto class text), the loss that it trains with, and a text encoder without weights."""

from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from avgzsl_bench.contracts import Batch, ClassText, Loss, Method, Shapes, TextEncoder, Training, TrainingSettings
from avgzsl_bench.losses import ClassificationLoss, make


class Prototype(Method):
    class Settings(TrainingSettings):
        classification_loss: ClassificationLoss = Field("focal", validate_default=True, description="Loss of the logits.")
        temperature: float = Field(0.1, gt=0, description="What cosines are divided by to give logits.")

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.map = nn.Linear(shapes.audio + shapes.video, shapes.text)
        self.loss = make(settings.classification_loss)

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        clips, prototypes = self.embed(batch, classes.vectors.mean(1))
        logits = clips @ prototypes.T / self.settings.temperature  # (clips, classes)
        return {"classification": self.loss(logits, batch.label, classes.vectors)}

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        return classes.vectors.mean(1)  # (classes, dim)

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        clips = self.map(torch.cat([batch.audio, batch.video], dim=1))
        return normalize(clips, dim=1), normalize(rows, dim=1)


class Focal(Loss):
    """Cross-entropy in which easy clips weigh less (Lin et al., ICCV 2017, equation 4 without class weights)."""

    family = "classification"

    class Settings(Loss.Settings):
        focus: float = Field(2.0, ge=0, description="Exponent of the weight; 0 is the cross-entropy.")

    def __call__(self, logits: Tensor, rows: Tensor, texts: Tensor) -> Tensor:
        own = logits.log_softmax(dim=1).gather(1, rows[:, None])  # (clips, 1)
        return -((1 - own.exp()) ** self.settings.focus * own).mean()


class Letters(TextEncoder):
    """Counts of runs of three letters, hashed to 512 places: similar spellings are close."""

    licence, revision = "MIT (no weights)", "1"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        places = [[crc32(t[i : i + 3].lower().encode()) % 512 for i in range(max(1, len(t) - 2))] for t in texts]
        return np.stack([np.bincount(row, minlength=512) for row in places]).astype(np.float32)

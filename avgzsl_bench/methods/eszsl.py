"""ESZSL (Romera-Paredes and Torr, 2015): a bilinear compatibility of clips and class text, fitted in closed form.

Every modality of a clip is scaled to length one first, so that the penalties mean the same for every feature set.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from avgzsl_bench import contracts
from avgzsl_bench.contracts import Batch, ClassText, Method, Training


class Eszsl(Method):
    """Ridge regression from clips to the signs +1 (own class) and -1 (other classes) through the class text."""

    paper = "romera2015"
    seeded = False
    turns = ()

    class Settings(contracts.Settings):
        feature_penalty: float = Field(1.0, gt=0, description="Ridge penalty γ on the side of the clips.")
        text_penalty: float = Field(1.0, gt=0, description="Ridge penalty λ on the side of the class text.")

    settings: Settings

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        clips = _features(training.batch).double()  # (clips, dims)
        texts = training.classes.vectors.mean(1).double()  # (training classes, dim)
        signs = 2.0 * F.one_hot(training.batch.label, len(texts)).double() - 1
        left = _ridge(clips.T @ clips, self.settings.feature_penalty)
        right = _ridge(texts.T @ texts, self.settings.text_penalty)
        middle = clips.T @ (signs @ texts)  # (dims, dim)
        weights: Tensor = torch.linalg.solve(right, torch.linalg.solve(left, middle), left=False)
        candidates = classes.vectors.mean(1)
        return (candidates.double() @ weights.T).to(candidates.dtype)  # (classes, dims)

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return _features(batch), rows

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        clips, classifiers = self.embed(batch, rows)
        return clips @ classifiers.T


def _features(batch: Batch) -> Tensor:
    return torch.cat([F.normalize(batch.video), F.normalize(batch.audio)], 1)


def _ridge(gram: Tensor, penalty: float) -> Tensor:
    return gram + penalty * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)


MEMBER = Eszsl

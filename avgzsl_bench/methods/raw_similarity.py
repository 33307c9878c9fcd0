"""A floor: cosine similarity of untouched features and class text, for features that live in the space of the text."""

import torch
from torch import Tensor
from torch.nn import functional as F

from avgzsl_bench import contracts
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training
from avgzsl_bench.errors import AvgzslError


class RawSimilarity(Method):
    """The mean over the shared modalities of a clip's cosine similarity to the mean text of a class, in the space they share."""

    version = 2
    floor = True
    seeded = False
    turns = ()
    Settings = contracts.Settings

    def __init__(self, settings: contracts.Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        if not shapes.shared:
            raise AvgzslError(
                "raw_similarity compares features with text, and these features share no space with this text encoder; "
                "choose another --encoder or --features (on demo: --features shared)"
            )
        self._columns = dict(sorted(shapes.shared.items()))

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        mean = classes.vectors.mean(1)
        parts = [F.normalize(mean[:, start:stop]) for start, stop in self._columns.values()]
        return torch.cat(parts, 1) / len(parts)  # (classes, the spaces of all shared modalities)

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([F.normalize(getattr(batch, name)) for name in self._columns], 1), rows

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        clips, texts = self.embed(batch, rows)
        return clips @ texts.T


MEMBER = RawSimilarity

"""BERT, or any encoder that transformers' AutoModel builds: the mean of the last layer's tokens, or its first token."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.text import models, transformer


class Bert(models.HubEncoder):
    """Pooled hidden states of the last layer, padding left out and not normalised."""

    licence = "Apache-2.0 (bert-base-uncased; others have their own)"
    name = "bert"
    libraries = transformer.LIBRARIES

    class Settings(models.HubEncoder.Settings):
        model: str = Field("bert-base-uncased", description="Name of the model on the hub.")
        pooling: Literal["mean", "cls"] = Field("mean", description="Average the tokens of a text, or take the first.")

    @property
    def space(self) -> str:
        return f"bert:{self.settings.model}:{self.settings.pooling}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        pool = transformer.first if self.settings.pooling == "cls" else transformer.mean
        return transformer.pooled(self.folder, texts, self.settings, pool)


MEMBER = Bert

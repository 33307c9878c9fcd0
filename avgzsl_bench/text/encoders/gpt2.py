"""GPT-2 (Radford et al. 2019), or any causal model that transformers' AutoModel builds: the mean of the last layer's tokens.

The mean is the default because the last token is trained to tell which word follows, and so says more about how a text
ends than what it is about; each earlier token has read only what stands before it.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.text import models, transformer


class Gpt2(models.HubEncoder):
    """Pooled hidden states of the last layer, padding left out and not normalised."""

    licence = "MIT (gpt2; others have their own)"
    name = "gpt2"
    libraries = transformer.LIBRARIES

    class Settings(models.HubEncoder.Settings):
        model: str = Field("openai-community/gpt2", description="Name of the model on the hub.")
        pooling: Literal["mean", "last"] = Field("mean", description="Average the tokens of a text, or take the last.")

    @property
    def space(self) -> str:
        return f"gpt2:{self.settings.model}:{self.settings.pooling}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        pool = transformer.last if self.settings.pooling == "last" else transformer.mean
        return transformer.pooled(self.folder, texts, self.settings, pool)


MEMBER = Gpt2

"""The text tower of CLAP: LAION's through transformers (Wu et al. 2023), or WavCaps' from its checkpoint (Mei et al. 2023).

Both are projected into the space of their audio features and scaled to length one, as the published code of both does;
transformers' ClapTextModelWithProjection, which is used here, does not scale, so that `normalise=false` gives what it gives.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.text import models, transformer
from avgzsl_bench.text.encoders import _wavcaps

WAVCAPS = "wavcaps"


class Clap(models.HubEncoder):
    """Projected text features of a CLAP model, in the space of its audio features."""

    licence = "Apache-2.0 (laion/clap-htsat-unfused); WavCaps names none for its weights, and its data are for academic use"
    name = "clap"
    libraries = transformer.LIBRARIES

    class Settings(models.HubEncoder.Settings):
        model: str = Field(
            "laion/clap-htsat-unfused",
            description="Name of the model on the hub, or wavcaps: HTSAT_BERT_zero_shot.pt of WavCaps.",
        )
        path: str = Field("", description="Folder of this model; empty looks in the hub cache. For wavcaps, its checkpoint file.")
        normalise: bool = Field(True, description="Scale every vector to length one.")

    settings: Settings

    @property
    def revision(self) -> str:
        return _wavcaps.revision(self.settings.path) if self._wavcaps else super().revision

    @property
    def space(self) -> str:
        return _wavcaps.SPACE if self._wavcaps else f"clap:{self.settings.model}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        if self._wavcaps:
            tokenizer, embed = _wavcaps.load(self.settings.path, self.settings.device)
            return transformer.encode(texts, self.settings, tokenizer, _wavcaps.LIMIT, embed)
        from transformers import ClapTextModelWithProjection

        tokenizer, model = transformer.load(ClapTextModelWithProjection, self.folder, self.settings, "CLAP text tower")
        positions = model.config.max_position_embeddings - model.config.pad_token_id - 1  # RoBERTa counts from the padding on
        limit = min(tokenizer.model_max_length, positions)
        return transformer.encode(texts, self.settings, tokenizer, limit, lambda tokens: model(**tokens).text_embeds)

    def fetch(self) -> str:
        return _wavcaps.fetch(self.settings.path) if self._wavcaps else super().fetch()

    @property
    def _wavcaps(self) -> bool:
        return self.settings.model == WAVCAPS


MEMBER = Clap

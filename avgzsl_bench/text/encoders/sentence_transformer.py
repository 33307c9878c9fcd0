"""Any model of the sentence-transformers library, by its hub name or from a folder, as its own modules pool it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers")


class SentenceTransformer(models.HubEncoder):
    """Sentence embeddings; `minilm` is this encoder with its default model."""

    licence = "Apache-2.0 (the default model; others have their own)"
    extra = "sentence-transformers"
    name = "sentence_transformer"
    libraries = LIBRARIES
    sentences = True

    class Settings(models.HubEncoder.Settings):
        model: str = Field(MINILM, description="Name of the model on the hub.")
        normalise: bool = Field(False, description="Scale every vector to length one, where the model itself does not.")

    @property
    def space(self) -> str:
        return f"sentence_transformer:{self.settings.model}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        return encode(self.folder, texts, self.settings, self.extra)


def encode(folder: Path, texts: list[str], settings: models.Settings, extra: str, instruction: str = "") -> NDArray[np.float32]:
    """Vectors (texts, dim) of the model in a folder.

    An instruction stands before each text and is left out of the pooling. Raises AvgzslError without the library.
    """
    model = _loaded(folder, settings.device, extra)
    if instruction:
        model.set_pooling_include_prompt(False)
    prompt = instruction or model.prompts.get(model.default_prompt_name, "")  # some models come with one
    limit = model.max_seq_length
    if limit:
        tokens = model.tokenizer([prompt + text for text in texts], verbose=False)["input_ids"]
        models.fit(texts, [len(ids) for ids in tokens], limit, settings.long_texts)

    def vectors(batch: list[str]) -> Any:
        return model.encode(batch, prompt=prompt, batch_size=len(batch), convert_to_tensor=True, show_progress_bar=False)

    return models.encoded(texts, settings, vectors)


def _loaded(folder: Path, device: str, extra: str) -> Any:
    try:
        import sentence_transformers
    except ImportError as error:
        raise AvgzslError(f"sentence-transformers is not installed; `pip install 'avgzsl-bench[{extra}]'` brings it") from error
    models.quiet()
    place = str(models.device(device))
    with models.loading(folder, "model"):
        return sentence_transformers.SentenceTransformer(str(folder), device=place, local_files_only=True).float()


MEMBER = SentenceTransformer

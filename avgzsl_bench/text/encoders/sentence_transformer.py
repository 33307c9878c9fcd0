"""Any model of the sentence-transformers library, by its hub name or from a folder, as its own modules pool it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers")


class SentenceTransformer(TextEncoder):
    """Sentence embeddings; `minilm` is this encoder with its default model."""

    licence = "Apache-2.0 (the default model; others have their own)"
    extra = "sentence-transformers"
    libraries = LIBRARIES

    class Settings(TextEncoder.Settings):
        model: str = Field(MINILM, description="Name of the model on the hub.")
        path: str = Field("", description="Folder of this model; empty looks in the hub cache.")

    @property
    def revision(self) -> str:
        return models.folder_revision(self._folder(), sentences=True)

    @property
    def space(self) -> str:
        return f"sentence_transformer:{self.settings.model}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        return encode(self._folder(), texts, self.device, self.extra)

    def fetch(self) -> str:
        folder = self._folder() if self.settings.path else models.download_folder(self.settings.model)
        return f"{self.settings.model}: {folder} ({models.size(folder)})"

    def _folder(self) -> Path:
        return models.folder_of("sentence_transformer", self.settings)


def encode(folder: Path, texts: list[str], device: str, extra: str) -> NDArray[np.float32]:
    """Vectors (texts, dim) of the model in a folder. Raises AvgzslError without the library, and for texts it would cut."""
    try:
        import sentence_transformers
    except ImportError as error:
        raise AvgzslError(f"sentence-transformers is not installed; `pip install 'avgzsl-bench[{extra}]'` brings it") from error
    models.quiet()
    with models.loading(folder, "model"):
        model = sentence_transformers.SentenceTransformer(str(folder), device=device, local_files_only=True).float().eval()
    limit = model.max_seq_length
    for text in texts:
        tokens = len(model.tokenizer(text)["input_ids"])
        if limit and tokens > limit:
            raise AvgzslError(f"text {text[:60]!r}... has {tokens} tokens, the model reads {limit}; shorten it")
    parts = [model.encode(batch, batch_size=models.BATCH, show_progress_bar=False) for batch in models.batches(texts)]
    return np.concatenate(parts).astype(np.float32)


MEMBER = SentenceTransformer

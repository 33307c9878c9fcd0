"""BERT, or any encoder that transformers' AutoModel builds: the mean of the last layer's tokens, or its first token."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models


class Bert(TextEncoder):
    """Pooled hidden states of the last layer, padding left out."""

    licence = "Apache-2.0 (bert-base-uncased; others have their own)"
    libraries = ("transformers", "tokenizers")

    class Settings(TextEncoder.Settings):
        model: str = Field("bert-base-uncased", description="Name of the model on the hub.")
        pooling: Literal["mean", "cls"] = Field("mean", description="Average the tokens of a text, or take the first.")
        path: str = Field("", description="Folder of this model; empty looks in the hub cache.")

    @property
    def revision(self) -> str:
        return models.folder_revision(self._folder())

    @property
    def space(self) -> str:
        return f"bert:{self.settings.model}:{self.settings.pooling}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        import torch
        from transformers import AutoModel, AutoTokenizer

        models.quiet()
        folder = self._folder()
        with models.loading(folder, "model"):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(folder, local_files_only=True).float().to(self.device).eval()
        limit = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        with torch.inference_mode():
            parts = [self._pooled(model, _tokens(tokenizer, batch, limit)) for batch in models.batches(texts)]
        return np.asarray(torch.cat(parts).cpu().numpy())  # (texts, dim)

    def fetch(self) -> str:
        folder = self._folder() if self.settings.path else models.download_folder(self.settings.model)
        return f"{self.settings.model}: {folder} ({models.size(folder)})"

    def _folder(self) -> Path:
        return models.folder_of("bert", self.settings)

    def _pooled(self, model: Any, tokens: Any) -> Any:
        tokens = tokens.to(self.device)
        hidden = model(**tokens).last_hidden_state  # (texts, tokens, dim)
        if self.settings.pooling == "cls":
            return hidden[:, 0]
        mask = tokens["attention_mask"].unsqueeze(-1)
        return (hidden * mask).sum(1) / mask.sum(1)


def _tokens(tokenizer: Any, texts: list[str], limit: int) -> Any:
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    longest = int(tokens["attention_mask"].sum(1).argmax())
    length = int(tokens["attention_mask"].sum(1).max())
    if length > limit:
        text = texts[longest][:60]
        raise AvgzslError(f"text {text!r}... has {length} tokens, the model reads {limit}; shorten it or use another encoder")
    return tokens


MEMBER = Bert

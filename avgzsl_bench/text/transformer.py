"""Models of the transformers library as text encoders: loaded whole or refused, given texts that fit, and pooled."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models

if TYPE_CHECKING:
    from torch import Tensor

LIBRARIES = ("transformers", "tokenizers")
UNUSED = "pooler."  # a head of BERT's that checkpoints may lack and that nothing here reads


def load(kind: Any, folder: Path, settings: models.Settings, what: str = "model") -> tuple[Any, Any]:
    """Tokenizer and model (built by the class `kind`) of a folder, on the settings' device.

    Raises AvgzslError for a folder that lacks a weight of the model, which transformers would make up.
    """
    from transformers import AutoTokenizer

    models.quiet()
    device = models.device(settings.device)
    with models.loading(folder, what), silent():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="right", truncation_side="right")
        model, report = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        if missing := [key for key in report["missing_keys"] if not key.startswith(UNUSED)]:
            raise ValueError(f"it lacks {min(missing)}")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token  # causal models have none; it is masked
    return tokenizer, model.float().to(device).eval()


def encode(
    texts: Sequence[str], settings: models.Settings, tokenizer: Any, limit: int, embed: "Callable[[Any], Tensor]"
) -> NDArray[np.float32]:
    """Vectors (texts, dim) by `embed`, which makes a tensor (texts, dim) of the tokens of a batch, `limit` at most of a text.

    Padding follows the tokens of a text, masked by 0. Raises AvgzslError for a text that makes no token.
    """
    lengths = [len(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]
    if 0 in lengths:
        raise AvgzslError(f"text {texts[lengths.index(0)]!r} makes no token of this model; give the class another text")
    models.fit(texts, lengths, limit, settings.long_texts)
    cut = {"truncation": True, "max_length": limit} if max(lengths) > limit else {}

    def vectors(batch: list[str]) -> "Tensor":
        return embed(tokenizer(batch, padding=True, return_tensors="pt", **cut).to(settings.device))

    return models.encoded(texts, settings, vectors)


def limit(tokenizer: Any, model: Any) -> int:
    """Tokens that a model reads; some have no limit of their own, and their tokenizers give a very large one."""
    positions = getattr(model.config, "max_position_embeddings", None) or sys.maxsize
    return int(min(tokenizer.model_max_length, positions))


def pooled(
    folder: Path, texts: Sequence[str], settings: models.Settings, pool: "Callable[[Tensor, Tensor], Tensor]"
) -> NDArray[np.float32]:
    """Vectors (texts, dim): `pool` of the last layer (texts, tokens, dim) and the mask of its tokens (texts, tokens)."""
    from transformers import AutoModel

    tokenizer, model = load(AutoModel, folder, settings)

    def embed(tokens: Any) -> "Tensor":
        return pool(model(**tokens).last_hidden_state, tokens["attention_mask"])

    return encode(texts, settings, tokenizer, limit(tokenizer, model), embed)


def mean(hidden: "Tensor", mask: "Tensor") -> "Tensor":
    """The mean over the tokens of each text, (texts, dim)."""
    weights = mask.unsqueeze(-1)  # (texts, tokens, 1)
    return (hidden * weights).sum(1) / weights.sum(1)


def first(hidden: "Tensor", mask: "Tensor") -> "Tensor":
    """The first token of each text, (texts, dim)."""
    return hidden[:, 0]


def last(hidden: "Tensor", mask: "Tensor") -> "Tensor":
    """The last token of each text, (texts, dim)."""
    return hidden[range(len(hidden)), mask.sum(1) - 1]


@contextmanager
def silent() -> Iterator[None]:
    """Keep transformers from printing a table of the weights that a text tower leaves out."""
    from transformers.utils import logging

    said = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(said)

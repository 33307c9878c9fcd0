"""The text tower of WavCaps' CLAP (Mei et al. 2023), out of its checkpoint: BERT's first token through two linear layers.

The file says all but the words: BERT's sizes are those of its weights, with heads of 64 as in every BERT, and the vocabulary
is that of bert-base-uncased, found beside the checkpoint (vocab.txt) or in the hub cache.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from avgzsl_bench.checkpoints import read_weights
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models

SPACE = "clap:HTSAT-BERT:wavcaps-zero-shot"
CHECKPOINT = "HTSAT_BERT_zero_shot.pt"
ADDRESS = "https://drive.google.com/drive/folders/1pFr8IRY3E1FAtc2zjYmeuSVY3M5a-Kdj"  # from WavCaps' retrieval/README.md
BERT, VOCABULARY = "bert-base-uncased", "vocab.txt"
LIMIT = 30  # tokens that the published code reads of a text, its start and end included


def checkpoint(path: str) -> Path:
    """The checkpoint that the user gave. Raises AvgzslError for none, saying where it is published."""
    if not path:
        raise AvgzslError(
            f"weights of clap (WavCaps' {CHECKPOINT}) are published on Google Drive alone; "
            f"download them from {ADDRESS} and give their path as encoder.path"
        )
    return models.given_file(path)


def revision(path: str) -> str:
    """Hash of the checkpoint and the vocabulary."""
    file = checkpoint(path)
    return models.revision({"weights": file, VOCABULARY: _vocabulary(file)})


def fetch(path: str) -> str:
    """Get the vocabulary; the checkpoint is the user's to download."""
    file = checkpoint(path)
    words = _beside(file) or models.download_file(BERT, VOCABULARY)
    return f"wavcaps: {file} ({models.size(file)}), vocabulary {words}"


def load(path: str, device: str) -> tuple[Any, Callable[[Any], Any]]:
    """Tokenizer, and what makes of its tokens a tensor (texts, 1024), not normalised."""
    file, place = checkpoint(path), models.device(device)
    words, state = _vocabulary(file), read_weights(file).state
    with models.loading(file, "checkpoint of WavCaps' CLAP with a BERT text tower"):
        bert, projection = (part.to(place).eval() for part in _tower(state))
    return _tokenizer(words), lambda tokens: projection(bert(**tokens).last_hidden_state[:, 0])


def _tower(state: dict[str, Any]) -> tuple[Any, Any]:
    from torch import nn
    from transformers import BertConfig, BertModel

    weights = {key: value for key, value in _under(state, "text_encoder.text_encoder.").items() if "position_ids" not in key}
    projection = _under(state, "text_proj.")
    words, width = weights["embeddings.word_embeddings.weight"].shape
    inner, joint = len(weights["encoder.layer.0.intermediate.dense.weight"]), len(projection["0.weight"])
    bert = BertModel(
        BertConfig(
            vocab_size=words,
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=sum(key.endswith("intermediate.dense.bias") for key in weights),
            num_attention_heads=width // 64,
            max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
        ),
        add_pooling_layer=False,
    )
    layers = nn.Sequential(nn.Linear(width, joint), nn.ReLU(), nn.Linear(joint, joint))
    bert.load_state_dict(weights)
    layers.load_state_dict(projection)
    return bert, layers


def _under(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _tokenizer(words: Path) -> Any:
    from tokenizers import BertWordPieceTokenizer, Tokenizer
    from transformers import PreTrainedTokenizerFast

    pieces = Tokenizer.from_str(BertWordPieceTokenizer(str(words), lowercase=True).to_str())
    return PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="[PAD]")


def _vocabulary(file: Path) -> Path:
    words = _beside(file) or models.cached_file(BERT, VOCABULARY)
    if words is None:
        raise AvgzslError(
            f"the vocabulary of {BERT}, which WavCaps' CLAP reads, is not on this machine; "
            f"`avgzsl text fetch clap --set model=wavcaps --from {file}` gets it, or put its {VOCABULARY} beside the checkpoint"
        )
    return words


def _beside(file: Path) -> Path | None:
    words = file.parent / VOCABULARY
    return words if words.is_file() else None

"""Fixtures: tiny random checkpoints of the text encoders' kinds, and a hub cache with nothing in it."""

import json
import shutil

import pytest

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "play",
    "drum",
    "guitar",
    "archery",
    "the",
    "a",
    "of",
    "sound",
    "##s",
    "loud",
    "soft",
]


@pytest.fixture
def empty_hub(tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """Settings of the clip encoder for a tiny random model."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "tiny-clip.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model("tiny-clip")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "weights.safetensors")
    return {"model": "tiny-clip", "path": str(folder / "weights.safetensors")}


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """The folder of a tiny random BERT of 32 positions, with its WordPiece tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    (folder / "words.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=32)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_sentences(tiny_bert, tmp_path_factory):
    """The folder of the same BERT as a sentence-transformers model that averages tokens."""
    pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")
    folder = tmp_path_factory.mktemp("sentences") / "model"
    shutil.copytree(tiny_bert, folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 24, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder

"""bert and gpt2 against plain transformers calls on tiny checkpoints, without a network."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from encoding import TEXTS, build, encode, one_line

from avgzsl_bench.errors import AvgzslError

pytest_plugins = ("tiny_models",)
pytestmark = pytest.mark.usefixtures("socket_disabled")

NAMES = ["bert", "gpt2"]


@pytest.fixture
def folder(request, tiny_bert, tiny_gpt2):
    return {"bert": tiny_bert, "gpt2": tiny_gpt2}[request.getfixturevalue("name")]


def plain(folder, texts, pad_to=None, limit=None):
    """The last layer of each text, padding cut off: a list of (tokens, dim)."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    padding = {"padding": "max_length", "max_length": pad_to} if pad_to else {"padding": True, "max_length": limit}
    tokens = tokenizer(texts, return_tensors="pt", truncation=limit is not None, padding_side="right", **padding)
    with torch.no_grad():
        hidden = model(**tokens).last_hidden_state.numpy()
    return [states[mask == 1] for states, mask in zip(hidden, tokens["attention_mask"].numpy(), strict=True)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 3, 64])
@pytest.mark.parametrize("pad_to", [None, 32])
def test_the_mean_equals_a_plain_call(name, folder, size, pad_to):
    expected = [states.mean(0) for states in plain(folder, TEXTS, pad_to)]
    vectors = encode(name, {"path": str(folder), "batch_size": size})
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected, atol=1e-5)
    assert not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=0.01), "not normalised by default"


@pytest.mark.parametrize(("name", "pooling", "place"), [("bert", "cls", 0), ("gpt2", "last", -1)])
@pytest.mark.parametrize("size", [2, 64])
def test_one_token_equals_a_plain_call(name, pooling, place, folder, size):
    expected = [states[place] for states in plain(folder, TEXTS)]
    assert np.allclose(encode(name, {"path": str(folder), "pooling": pooling, "batch_size": size}), expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_normalise_scales_to_length_one(name, folder):
    raw, unit = (encode(name, {"path": str(folder), "normalise": on}) for on in (False, True))
    assert np.allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_long_text_is_refused_by_name_or_cut_and_said(name, folder, caplog):
    given, long = {"path": str(folder)}, "drum " * 64
    with pytest.raises(AvgzslError, match=r"text 'drum drum.*the model reads 32.*encoder\.long_texts=cut") as error:
        encode(name, given, ["archery", long])
    one_line(error)
    with pytest.raises(AvgzslError, match=r"text '(drum ){11}dr\.\.\.' has"):
        encode(name, given, [long])
    with caplog.at_level(logging.WARNING):
        vectors = encode(name, {**given, "long_texts": "cut"}, ["archery", long])
    assert [record.getMessage()[:44] for record in caplog.records] == ["1 texts are cut to the first 32 tokens, such"]
    assert np.allclose(vectors, [states.mean(0) for states in plain(folder, ["archery", long], limit=32)], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_long_work_says_how_far_it_is(name, folder, caplog):
    with caplog.at_level(logging.INFO, "avgzsl_bench"):
        encode(name, {"path": str(folder), "batch_size": 2})
    assert [record.getMessage() for record in caplog.records] == ["encoded 2 of 5 texts", "encoded 4 of 5 texts"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("device", ["cuda:77", "gpu"])
def test_a_device_that_is_not_here_is_one_line(name, folder, device):
    with pytest.raises(AvgzslError, match=f"encoder.device='{device}' cannot be used here") as error:
        encode(name, {"path": str(folder), "device": device})
    one_line(error)


def test_gpt2_reads_texts_as_they_are_without_a_padding_token(tiny_gpt2):
    assert "pad_token" not in json.loads((tiny_gpt2 / "tokenizer_config.json").read_text())
    alone = encode("gpt2", {"path": str(tiny_gpt2), "pooling": "last"}, ["play"])
    beside = encode("gpt2", {"path": str(tiny_gpt2), "pooling": "last"}, ["play", "play the guitar"])
    assert np.allclose(alone[0], beside[0], atol=1e-6)
    with pytest.raises(AvgzslError, match="text '' makes no token") as error:
        encode("gpt2", {"path": str(tiny_gpt2)}, ["play", ""])
    one_line(error)


def test_gpt2_pads_on_the_right_whatever_its_tokenizer_says(tiny_gpt2, tmp_path):
    copy = shutil.copytree(tiny_gpt2, tmp_path / "left")
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**config, "padding_side": "left"}))
    for pooling in ("mean", "last"):
        left, right = (encode("gpt2", {"path": str(folder), "pooling": pooling}) for folder in (copy, tiny_gpt2))
        assert np.array_equal(left, right)


def test_other_causal_models_are_read_too(tiny_gpt2, tmp_path):
    from transformers import GPTNeoXConfig, GPTNeoXModel

    copy = shutil.copytree(tiny_gpt2, tmp_path / "neox", ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    GPTNeoXModel(GPTNeoXConfig(vocab_size=300, max_position_embeddings=32, **shape)).save_pretrained(copy)
    given = {"path": str(copy), "batch_size": 2}
    assert np.allclose(encode("gpt2", given), [states.mean(0) for states in plain(copy, TEXTS)], atol=1e-5)


@pytest.mark.parametrize(("name", "model"), [("bert", "bert-base-uncased"), ("gpt2", "openai-community/gpt2")])
def test_the_defaults_are_the_published_models(name, model):
    encoder = build(name)
    assert (encoder.settings.model, encoder.settings.pooling, encoder.settings.normalise) == (model, "mean", False)
    assert encoder.space == f"{name}:{model}:mean"

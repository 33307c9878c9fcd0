"""The clap encoder against plain calls of transformers and a plain computation on WavCaps' layout, without a network."""

import logging
import shutil
from pathlib import Path

import encoding
import numpy as np
import pytest
import torch
from encoding import TEXTS, one_line
from torch.nn import functional as F

from avgzsl_bench import datasets, features
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models

pytest_plugins = ("tiny_models",)


def build(settings):
    return encoding.build("clap", settings)


def encode(settings, texts=TEXTS):
    return encoding.encode("clap", settings, texts)


@pytest.fixture
def towers(tiny_clap, tiny_wavcaps):
    return {"laion": {"path": str(tiny_clap)}, "wavcaps": tiny_wavcaps}


def plain_clap(folder, texts, **padding):
    from transformers import AutoTokenizer, ClapTextModelWithProjection

    model, tokenizer = ClapTextModelWithProjection.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(texts, return_tensors="pt", **padding)).text_embeds.numpy()


def plain_wavcaps(settings, texts, **padding):
    """BERT's first token through two linear layers with a ReLU between them."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    path = Path(settings["path"])
    state = torch.load(path, weights_only=True)["model"]
    words = {word: i for i, word in enumerate((path.parent / "vocab.txt").read_text().split("\n"))}
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    bert = BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=40, **sizes), add_pooling_layer=False).eval()
    prefix = "text_encoder.text_encoder."
    bert.load_state_dict({name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}, strict=False)
    tokens = BertTokenizerFast(vocab=words)(texts, return_tensors="pt", **padding)
    with torch.no_grad():
        first = bert(tokens["input_ids"], tokens["attention_mask"]).last_hidden_state[:, 0]
    hidden = F.linear(first, state["text_proj.0.weight"], state["text_proj.0.bias"]).clamp(min=0)
    return F.linear(hidden, state["text_proj.2.weight"], state["text_proj.2.bias"]).numpy()


PADDINGS = [{"padding": True}, {"padding": "max_length", "max_length": 38}]


@pytest.mark.parametrize("padding", PADDINGS)
def test_laions_tower_is_a_plain_call_however_padded(tiny_clap, padding, socket_disabled):
    vectors = encode({"path": str(tiny_clap), "normalise": False})
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, 20)
    assert np.allclose(vectors, plain_clap(tiny_clap, TEXTS, **padding), atol=1e-6)


@pytest.mark.parametrize("padding", PADDINGS)
def test_wavcaps_tower_is_a_plain_computation_however_padded(tiny_wavcaps, padding, empty_hub, socket_disabled):
    vectors = encode({**tiny_wavcaps, "normalise": False})
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, 28)
    assert np.allclose(vectors, plain_wavcaps(tiny_wavcaps, TEXTS, **padding), atol=1e-6)


@pytest.mark.parametrize("tower", ["laion", "wavcaps"])
def test_vectors_are_of_length_one_by_default(towers, tower):
    raw = encode({**towers[tower], "normalise": False})
    lengths = np.sqrt((raw**2).sum(1, keepdims=True))
    assert abs(lengths - 1).min() > 0.05
    assert np.allclose(encode(towers[tower]), raw / lengths, atol=1e-6)


def test_wavcaps_reads_names_without_their_capitals(tiny_wavcaps):
    assert np.allclose(encode(tiny_wavcaps, ["Play The Guitar"]), encode(tiny_wavcaps, ["play the guitar"]), atol=1e-6)
    assert not np.allclose(encode(tiny_wavcaps, ["Play The Guitar"]), encode(tiny_wavcaps, ["archery"]), atol=1e-3)


@pytest.mark.parametrize("tower", ["laion", "wavcaps"])
@pytest.mark.parametrize("size", [1, 2])
def test_batches_do_not_matter(towers, tower, size):
    assert np.allclose(encode({**towers[tower], "batch_size": size}), encode(towers[tower]), atol=1e-6)


@pytest.mark.parametrize(("tower", "limit", "longest"), [("laion", 64, "a" * 62), ("wavcaps", 30, "drum " * 28)])
def test_a_long_text_is_refused_or_cut_and_never_silently(towers, tower, limit, longest, caplog):
    long = longest + longest[-5:]
    assert np.isfinite(encode(towers[tower], [longest])).all()
    with pytest.raises(AvgzslError, match=rf"tokens and the model reads {limit};.*encoder\.long_texts=cut") as error:
        encode(towers[tower], ["archery", long])
    one_line(error)
    cut = {**towers[tower], "long_texts": "cut"}
    with caplog.at_level(logging.WARNING):
        assert np.allclose(encode(cut, [long]), encode(cut, [longest]), atol=1e-6)
    assert f"1 texts are cut to the first {limit} tokens" in caplog.text


def test_the_checkpoint_shares_the_space_of_the_authors_audio_features():
    space = build({"model": "wavcaps"}).space
    assert all(datasets.get(name).features["clip_clap"].spaces["audio"] == space for name in ("ucf", "vggsound", "activitynet"))
    assert build({}).space == "clap:laion/clap-htsat-unfused"


# the revision


def test_revision_of_a_folder_is_that_of_its_files(tiny_clap):
    assert build({"path": str(tiny_clap)}).revision == models.folder_revision(tiny_clap)


def test_revision_of_the_checkpoint_covers_weights_and_vocabulary(tiny_wavcaps, tmp_path):
    folder = shutil.copytree(Path(tiny_wavcaps["path"]).parent, tmp_path / "copy")
    given = {**tiny_wavcaps, "path": str(folder / "HTSAT_BERT_zero_shot.pt")}
    revisions = [build(tiny_wavcaps).revision, build(given).revision]
    assert revisions[0] == revisions[1]
    (folder / "vocab.txt").write_text((folder / "vocab.txt").read_text() + "\nmore")
    revisions.append(build(given).revision)
    torch.save({}, given["path"])
    revisions.append(build(given).revision)
    assert len(set(revisions)) == 3


def test_a_bare_table_of_weights_is_read_too(tiny_wavcaps, tmp_path):
    folder = shutil.copytree(Path(tiny_wavcaps["path"]).parent, tmp_path / "copy")
    torch.save(torch.load(tiny_wavcaps["path"], weights_only=True)["model"], folder / "bare.pt")
    assert np.array_equal(encode({**tiny_wavcaps, "path": str(folder / "bare.pt")}), encode(tiny_wavcaps))


# what is missing or wrong


def test_missing_weights_say_how_to_get_them(empty_hub, tiny_wavcaps, tmp_path, socket_disabled):
    with pytest.raises(AvgzslError, match="not on this machine; `avgzsl text fetch clap` gets them"):
        _ = build({}).revision
    for action in (lambda: build({"model": "wavcaps"}).revision, build({"model": "wavcaps"}).fetch):
        with pytest.raises(AvgzslError, match=r"HTSAT_BERT_zero_shot.pt.*https://drive\.google\.com/.*encoder\.path") as error:
            action()
        one_line(error)
    alone = shutil.copy(tiny_wavcaps["path"], tmp_path)
    with pytest.raises(AvgzslError, match=r"`avgzsl text fetch clap --set model=wavcaps --from .*` gets it") as error:
        encode({"model": "wavcaps", "path": str(alone)})
    one_line(error)


def test_fetch_gets_the_vocabulary_of_the_checkpoint(empty_hub, tiny_wavcaps, tmp_path, monkeypatch, avgzsl):
    alone, asked = shutil.copy(tiny_wavcaps["path"], tmp_path), []

    def download(repo, name):
        asked.append((repo, name))
        return str(Path(tiny_wavcaps["path"]).parent / "vocab.txt")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    code, out, _ = avgzsl("text", "fetch", "clap", "--set", "model=wavcaps", "--from", alone)
    assert code == 0
    assert "MiB" in out
    assert asked == [("bert-base-uncased", "vocab.txt")]


def test_the_vocabulary_in_the_hub_cache_is_used(empty_hub, tiny_wavcaps, tmp_path, socket_disabled):
    snapshot = empty_hub / "models--bert-base-uncased" / "snapshots" / ("0" * 40)
    (snapshot.parent.parent / "refs").mkdir(parents=True)
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    snapshot.mkdir(parents=True)
    shutil.copy(Path(tiny_wavcaps["path"]).parent / "vocab.txt", snapshot)
    alone = {**tiny_wavcaps, "path": str(shutil.copy(tiny_wavcaps["path"], tmp_path))}
    assert build(alone).revision == build(tiny_wavcaps).revision
    assert np.array_equal(encode(alone), encode(tiny_wavcaps))
    own = build(tiny_wavcaps).revision
    (snapshot / "vocab.txt").write_text("[PAD]\nanother")
    assert build(tiny_wavcaps).revision == own, "the one beside the checkpoint counts more"
    assert build(alone).revision != own


def test_foreign_weights_are_refused_in_one_line(tiny_bert, tiny_wavcaps, tmp_path, capfd):
    shutil.copy(Path(tiny_wavcaps["path"]).parent / "vocab.txt", tmp_path)
    with pytest.raises(AvgzslError, match=r"is no CLAP text tower that can be loaded .*it lacks text_") as error:
        encode({"path": str(tiny_bert)})  # transformers would make the weights up
    one_line(error)
    assert "MISSING" not in capfd.readouterr().err
    torch.save({"model": {"weight": torch.ones(2)}}, tmp_path / "other.pt")
    with pytest.raises(AvgzslError, match="is no checkpoint of WavCaps' CLAP with a BERT text tower") as error:
        encode({"model": "wavcaps", "path": str(tmp_path / "other.pt")})
    one_line(error)
    torch.save({"model": features.store_word_vectors}, tmp_path / "code.pt")
    with pytest.raises(AvgzslError, match="is refused: it asks for avgzsl_bench") as error:
        encode({"model": "wavcaps", "path": str(tmp_path / "code.pt")})
    one_line(error)

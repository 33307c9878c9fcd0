"""The clip encoder against plain calls of open_clip and of transformers, on the same tiny weights and without a network."""

import json
import logging
import shutil
import subprocess
import sys

import encoding
import numpy as np
import pytest
import torch
from encoding import TEXTS, one_line

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models
from avgzsl_bench.text.encoders import clip

pytest_plugins = ("tiny_models",)

LONG = "drum " * 76  # with a start and an end, one token too many


def build(settings):
    return encoding.build("clip", settings)


def encode(settings, texts=TEXTS):
    return encoding.encode("clip", settings, texts)


def apart(one, other):
    return np.abs(one - other).max() / np.abs(other).max()


@pytest.fixture
def towers(tiny_clip, tiny_clip_folder):
    """Settings of the same weights in both libraries."""
    return {"open_clip": tiny_clip, "transformers": {"model": "someone/tiny-clip", "path": str(tiny_clip_folder)}}


def plain_open_clip(settings, texts, quick_gelu):
    import open_clip
    from safetensors.torch import load_file

    model = open_clip.create_model(settings["model"], force_quick_gelu=quick_gelu).eval()
    model.load_state_dict(load_file(settings["path"]))
    with torch.no_grad():
        return model.encode_text(open_clip.get_tokenizer(settings["model"])(texts), normalize=False).numpy()


def plain_transformers(folder, texts, **padding):
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    model, tokenizer = CLIPTextModelWithProjection.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(texts, return_tensors="pt", **padding)).text_embeds.numpy()


# both towers


def test_the_open_clip_tower_is_a_plain_call_and_not_normalised(tiny_clip, socket_disabled):
    vectors = encode(tiny_clip)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, plain_open_clip(tiny_clip, TEXTS, quick_gelu=True), atol=1e-6)
    assert not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=0.05)


@pytest.mark.parametrize("padding", [{"padding": True}, {"padding": "max_length", "max_length": 77}])
def test_the_transformers_tower_is_a_plain_call_however_padded(towers, tiny_clip_folder, padding, socket_disabled):
    vectors = encode(towers["transformers"])
    assert vectors.dtype == np.float32
    assert apart(vectors, plain_transformers(tiny_clip_folder, TEXTS, **padding)) < 1e-5


def test_both_towers_agree_on_the_same_weights(towers):
    assert apart(encode(towers["transformers"]), encode(towers["open_clip"])) < 1e-5
    cut = {kind: encode({**given, "long_texts": "cut"}, [LONG, "drum"]) for kind, given in towers.items()}
    assert apart(cut["transformers"], cut["open_clip"]) < 1e-5


def test_without_quick_gelu_they_differ(towers, tiny_clip_folder, tmp_path):
    plain = {**towers["open_clip"], "pretrained": "laion2b_s34b_b79k"}  # weights that open_clip's table gives no quick GELU
    assert np.allclose(encode(plain), plain_open_clip(plain, TEXTS, quick_gelu=False), atol=1e-6)
    assert apart(encode(plain), encode(towers["transformers"])) > 1e-3
    folder = shutil.copytree(tiny_clip_folder, tmp_path / "gelu")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"hidden_act": "quick_gelu"', '"hidden_act": "gelu"'))
    assert apart(encode({"model": "someone/gelu", "path": str(folder)}), encode(plain)) < 1e-5


@pytest.mark.parametrize("tower", ["open_clip", "transformers"])
@pytest.mark.parametrize("size", [1, 2])
def test_batches_do_not_matter(towers, tower, size):
    assert apart(encode({**towers[tower], "batch_size": size}), encode(towers[tower])) < 1e-5


@pytest.mark.parametrize("tower", ["open_clip", "transformers"])
def test_normalise_scales_to_length_one(towers, tower):
    vectors = encode(towers[tower])
    expected = vectors / np.sqrt((vectors**2).sum(1, keepdims=True))
    assert np.allclose(encode({**towers[tower], "normalise": True}), expected, atol=1e-6)


@pytest.mark.parametrize("tower", ["open_clip", "transformers"])
def test_a_long_text_is_refused_or_cut_and_never_silently(towers, tower, caplog):
    assert encode(towers[tower], ["drum " * 75]).shape == (1, 16)
    with pytest.raises(AvgzslError, match=r"'drum drum.*has 78 tokens and the model reads 77.*encoder\.long_texts=cut") as error:
        encode(towers[tower], ["archery", LONG])
    one_line(error)
    caplog.clear()
    cut = {**towers[tower], "long_texts": "cut"}
    with caplog.at_level(logging.WARNING):
        assert apart(encode(cut, [LONG]), encode(cut, ["drum " * 75])) < 1e-6
    assert [record.message[:42] for record in caplog.records] == ["1 texts are cut to the first 77 tokens, su"]


@pytest.mark.parametrize("tower", ["open_clip", "transformers"])
def test_a_device_that_is_not_here_is_one_line(towers, tower):
    with pytest.raises(AvgzslError, match=r"encoder\.device='cuda:63' cannot be used here") as error:
        encode({**towers[tower], "device": "cuda:63"})
    one_line(error)


def test_an_architecture_that_would_scale_to_length_one_does_not(tmp_path):
    import open_clip
    from safetensors.torch import save_file

    text = {"context_length": 20, "vocab_size": 49408, "layers": 1, "heads": 2, "width": 32, "embed_cls": True}
    video = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16, "output_tokens": True}
    decoder = {**text, "attn_pooler_heads": 2, "n_queries": 4, "dim_head": 16}
    config = {"embed_dim": 16, "vision_cfg": video, "text_cfg": {**text, "output_tokens": True}, "custom_text": True}
    config["multimodal_cfg"] = {key: value for key, value in decoder.items() if key != "embed_cls"}
    (tmp_path / "tiny-coca.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-coca.json")
    model = open_clip.create_model("tiny-coca").eval()
    save_file({name: value.clone() for name, value in model.state_dict().items()}, tmp_path / "weights.safetensors")
    settings = {"model": "tiny-coca", "path": str(tmp_path / "weights.safetensors"), "pretrained": "laion2b_s13b_b90k"}
    raw = encode(settings)
    assert not np.allclose(np.linalg.norm(raw, axis=1), 1, atol=0.05)
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer("tiny-coca")(TEXTS), normalize=True).numpy()
    assert np.allclose(encode({**settings, "normalise": True}), expected, atol=1e-6)


# which tower


def test_a_slash_or_a_folder_chooses_transformers(tiny_clip, tiny_clip_folder):
    assert not build({}).of_transformers
    assert not build(tiny_clip).of_transformers
    assert build({"model": "openai/clip-vit-base-patch32"}).of_transformers
    folder = build({"path": str(tiny_clip_folder)})
    assert folder.of_transformers
    assert folder.revision == models.folder_revision(tiny_clip_folder)
    assert folder.encode(["drum"]).shape == (1, 16)


@pytest.mark.parametrize(
    ("hub", "model"),
    [
        ("openai/clip-vit-base-patch32", "ViT-B-32"),
        ("openai/clip-vit-base-patch16", "ViT-B-16"),
        ("openai/clip-vit-large-patch14", "ViT-L-14"),
        ("openai/clip-vit-large-patch14-336", "ViT-L-14-336"),
    ],
)
def test_one_space_for_the_same_weights_of_both_libraries(hub, model):
    assert build({"model": hub}).space == build({"model": model}).space == f"clip:{model}:openai"


def test_other_spaces(tiny_clip_folder):
    assert build({}).space == build({"model": "ViT-B-32-quickgelu"}).space == "clip:ViT-B-32:openai"
    assert build({"model": "someone/tiny-clip"}).space == "clip:someone/tiny-clip"
    assert build({"path": str(tiny_clip_folder)}).space == ""


def test_quick_gelu_follows_the_weights():
    rules = [build({"pretrained": tag}).quick_gelu for tag in ("openai", "laion2b_s34b_b79k", "metaclip_400m")]
    assert rules == [True, False, True]


# faults


def test_missing_transformers_weights_name_the_command(empty_hub, socket_disabled):
    with pytest.raises(AvgzslError, match="`avgzsl text fetch clip --set model=openai/clip-vit-base-patch16` gets them"):
        _ = build({"model": "openai/clip-vit-base-patch16"}).revision


def test_fetch_of_a_hub_name_takes_the_folder(empty_hub, monkeypatch, tiny_clip_folder):
    asked = []

    def snapshot(repo, allow_patterns, ignore_patterns):
        asked.append(repo)
        return str(tiny_clip_folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert "MiB" in build({"model": "openai/clip-vit-base-patch32"}).fetch()
    assert asked == ["openai/clip-vit-base-patch32"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "ViT-B32"}, "unknown clip model 'ViT-B32'; did you mean ViT-B-32"),
        ({"model": "hf-hub:someone"}, "unknown clip model"),
        ({"model": "some one/model"}, "is not the name of a hub model"),
        ({"pretrained": "openia"}, "unknown weights of clip ViT-B-32 'openia'; did you mean openai"),
        ({"model": "ViT-B-16-SigLIP", "pretrained": "webli"}, "brings its own tokenizer"),
    ],
)
def test_clip_refuses_what_it_does_not_know(settings, message, empty_hub):
    with pytest.raises(AvgzslError, match=message) as error:
        _ = build(settings).revision
    one_line(error)


def test_clip_refuses_the_weights_of_another_model(tiny_clip, tiny_bert, capfd):
    with pytest.raises(AvgzslError, match="is no checkpoint of clip RN50") as error:
        encode({**tiny_clip, "model": "RN50"})
    one_line(error)
    with pytest.raises(AvgzslError, match=r"is no CLIP text tower with projection .*it lacks text_model") as error:
        encode({"model": "bert-base/uncased", "path": str(tiny_bert)})  # transformers would make the weights up
    one_line(error)
    assert "MISSING" not in capfd.readouterr().err


def test_the_homes_of_openais_weights_are_those_of_open_clip():
    from open_clip.pretrained import get_pretrained_cfg

    for model, home in clip.HOMES.items():
        assert get_pretrained_cfg(model, "openai")["hf_hub"].rstrip("/") == home


def test_the_usual_weights_are_looked_up_without_importing_open_clip():
    code = (
        "import sys; from avgzsl_bench import text; text.readiness();"
        "print([name for name in ('open_clip', 'transformers', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"AVGZSL_PLUGINS": ""})
    assert done.stdout.strip() == "[]"

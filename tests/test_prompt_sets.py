"""The prompt sets that come with the project, and the averaged vectors they make of class names."""

import json

import numpy as np
import pytest

from avgzsl_bench import datasets, published, text
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.text import prompting
from avgzsl_bench.text.sources import Choice

pytest_plugins = ("tiny_models",)

CLASSES = [ClassInfo("Drum", "play drum", "train"), ClassInfo("Archery", "archery", "test")]


@pytest.mark.parametrize(("dataset", "clip", "clap"), [("ucf", 48, 30), ("activitynet", 48, 30), ("vggsound", 8, 9)])
def test_clipclap_has_as_many_templates_as_published(dataset, clip, clap):
    templates = prompting.find("clipclap", dataset, ["clip", "clap"]).templates
    assert {name: len(set(own)) for name, own in templates.items()} == {"clip": clip, "clap": clap}
    assert {name: len(own) for name, own in templates.items()} == {"clip": clip, "clap": clap}


def test_clipclap_covers_every_wording_once():
    templates = prompting.find("clipclap", "ucf", ["clip", "clap"]).templates
    means = ("", "using ", "doing ", "during ", "performing ", "practicing ")
    kinds = ("photo", "video", "example", "demonstration")
    said = {f"a {kind} of {who} person {means_}{{}}." for kind in kinds for who in ("a", "the") for means_ in means}
    assert set(templates["clip"]) == said
    heard = [template for template in templates["clap"] if template.endswith(" can be heard.")]
    assert len(heard) == 30


@pytest.mark.parametrize("name", prompting.names())
def test_every_template_holds_the_name_once_and_ends_as_a_sentence(name):
    found = prompting._read(prompting.FOLDER / f"{name}.toml")
    assert found["name"] == name
    lists = [(dataset, table) for dataset, table in found.items() if isinstance(table, dict)]
    assert {dataset for dataset, _ in lists} <= set(datasets.names())
    for dataset, table in lists:
        assert set(table) == {"clip", "clap"}
        templates = prompting.find(name, dataset, list(table)).templates
        assert all(template.count("{}") == 1 and template.endswith(".") for own in templates.values() for template in own)


def test_single_is_one_of_clipclaps_templates():
    for dataset in ("ucf", "activitynet", "vggsound"):
        one, many = (prompting.find(name, dataset, ["clip", "clap"]).templates for name in ("single", "clipclap"))
        assert all(len(own) == 1 and own[0] in many[name] for name, own in one.items())


def test_prompts_are_normalised_averaged_and_normalised_again(tiny_clip):
    table = text.class_text("ucf", CLASSES, Choice(prompts="clipclap"), "clip", tiny_clip, "corrected")
    templates = prompting.find("clipclap", "ucf", ["clip"]).templates["clip"]
    raw = text.build("clip", tiny_clip)["clip"].encode([template.replace("{}", "archery") for template in templates])
    mean = np.mean([vector / np.linalg.norm(vector) for vector in raw], axis=0)
    assert table.vectors.shape == (2, 1, 16)
    assert np.allclose(table.vectors[1, 0], mean / np.linalg.norm(mean), atol=1e-6)
    assert table.source == "names@1/clipclap@1"


def test_clip_and_clap_join_as_unit_halves(tiny_clip, tiny_wavcaps, socket_disabled):
    settings = {f"clip.{key}": value for key, value in tiny_clip.items()}
    settings |= {f"clap.{key}": value for key, value in tiny_wavcaps.items()}
    choice = Choice(prompts="clipclap")
    joined = text.class_text("ucf", CLASSES, choice, "clip+clap", settings, "corrected")
    assert joined.vectors.shape == (2, 1, 16 + 28)
    halves = {"clip": joined.vectors[..., :16], "clap": joined.vectors[..., 16:]}
    for name, given in (("clip", tiny_clip), ("clap", tiny_wavcaps)):
        assert np.allclose(np.linalg.norm(halves[name], axis=-1), 1, atol=1e-6)
        alone = text.class_text("ucf", CLASSES, choice, name, given, "corrected")
        assert np.allclose(halves[name], alone.vectors, atol=1e-6)
    bare = text.class_text("ucf", CLASSES, Choice(), "clip+clap", settings, "corrected").vectors  # clip's own are not unit
    assert np.allclose(np.linalg.norm(bare[..., :16], axis=-1), 1, atol=1e-6)
    kept = text.combine(joined.vectors, "mean", "raw")
    assert np.allclose(np.linalg.norm(kept, axis=-1), np.sqrt(2), atol=1e-6)


@pytest.mark.parametrize("dataset", ["ucf", "vggsound", "activitynet"])
def test_clipclaps_recipes_leave_the_joined_halves_as_they_are(dataset):
    recipe = published.recipe_for("clipclap", dataset, "clip_clap", "cls", "paper")
    assert recipe.settings["text_normalise"] == "raw"


def test_clipclap_runs_by_command_with_prompts_of_both_encoders(tiny_clip_folder, tiny_clap, tmp_path, avgzsl):
    weights = {"clip": tiny_clip_folder, "clap": tiny_clap}
    given = [part for name, path in weights.items() for part in ("--set", f"encoder.{name}.path={path}")]
    small = ["--set", "epochs=1", "--set", "batches_per_epoch=1", "--set", "width=8", "--out", tmp_path / "runs"]
    command = ["run", "--method", "clipclap", "--dataset", "demo", "--encoder", "clip+clap", "--prompts", "single"]
    code, _, err = avgzsl(*command, *given, *small)
    assert code == 0, err
    (record,) = (tmp_path / "runs").rglob("record.json")
    identity = json.loads(record.read_text())["identity"]
    assert identity["text"] == "names@1/single@1"
    revisions = [text.build(name, {"path": str(path)})[name].revision for name, path in weights.items()]
    assert identity["encoder_revision"] == "+".join(revisions)

"""From the user's words to complete configurations, and the one line for everything that is wrong with them."""

import pytest

from avgzsl_bench import config
from avgzsl_bench.errors import AvgzslError


def one(method="devise", dataset="demo", **choices):
    return config.resolve(method, dataset, **choices)[0]


def test_layers_of_settings():
    default = one()
    assert default.settings["epochs"] == 8, "the demo recipe beats the method's default"
    assert default.recipe == "demo (default)"
    assert one(settings={"epochs": "3"}).settings["epochs"] == 3, "--set beats the recipe"
    assert default.changed["epochs"] == 8
    assert "learning_rate" not in default.changed


def test_only_differences_from_defaults_are_hashed():
    assert one(settings={"learning_rate": "0.001"}).changed == one().changed


def test_reference_rules_imply_the_reference_form_unless_said():
    assert one("avca", "ucf", encoder="word2vec", rules="reference").form == "reference"
    assert one("avca", "ucf", encoder="word2vec", rules="reference", settings={"form": "paper"}).form == "paper"
    assert one("avca", "ucf", encoder="word2vec").form == "paper"
    assert one("eszsl", "ucf", encoder="word2vec", rules="reference").form == "paper", "a method without a reference has one form"


def test_seeds():
    assert [run.seed for run in config.resolve("devise", "demo", seeds=3)] == [0, 1, 2]
    assert [run.seed for run in config.resolve("devise", "demo", seeds=[5, 9])] == [5, 9]
    assert len(config.resolve("eszsl", "demo", seeds=3)) == 1, "a closed form is the same for every seed"


def test_features_presets():
    assert (one(dataset="ucf", features="cls").features, one(dataset="ucf", features="cls").split) == ("c3d_vggish", "cls")
    assert [one(dataset="ucf", features=name).split for name in ("selavi", "c3d_vggish", "clip_clap")] == ["main", "cls", "cls"]
    mixed = one(dataset="ucf", features="c3d_vggish", split="main")
    assert (mixed.features, mixed.split) == ("c3d_vggish", "main")


def test_a_loss_is_swapped_by_the_family_of_its_name():
    swapped = one("kda", settings={"loss": "cross_entropy"})
    assert swapped.settings["classification_loss"]["name"] == "cross_entropy"
    assert swapped.settings["alignment_loss"] == one("kda").settings["alignment_loss"]
    scaled = one("kda", settings={"classification_loss.scale": "0.3"})
    assert scaled.settings["classification_loss"]["scale"] == 0.3
    assert scaled.settings["classification_loss"]["name"] == one("kda").settings["classification_loss"]["name"]
    both = one("kda", settings={"loss": "adaptive_margin", "loss.scale": "0.3"})
    assert both.settings["classification_loss"] == {"name": "adaptive_margin", "scale": 0.3}


def test_search_grid():
    run = one(search={"learning_rate": ["0.1", "0.01"], "batch_size": [64, 128]})
    assert len(run.search) == 4
    assert run.search[0] == {"batch_size": 64, "learning_rate": 0.1}


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"method": "kdaa"}, ["'kdaa'", "kda", "avgzsl list methods"]),
        ({"dataset": "uuf"}, ["'uuf'", "ucf"]),
        ({"encoder": "clipp"}, ["'clipp'", "clip"]),
        ({"dataset": "ucf", "features": "mian"}, ["'mian'", "main"]),
        ({"dataset": "ucf", "split": "clss"}, ["'clss'", "cls"]),
        ({"rules": "best"}, ["'best'", "corrected", "reference"]),
        ({"selection": "test"}, ["--rules reference"]),
        ({"settings": {"epoch": "3"}}, ["epoch", "epochs", "avgzsl show devise"]),
        ({"settings": {"learning_rate": "-1"}}, ["learning_rate", "'-1'", "greater than 0"]),
        ({"settings": {"learning_rate": "fast"}}, ["learning_rate", "'fast'"]),
        ({"settings": {"rules": "reference"}}, ["--rules"]),
        ({"settings": {"loss": "nothing"}}, ["'nothing'", "avgzsl list losses"]),
        ({"method": "kda", "settings": {"loss": "triplet"}}, ["triplet", "kda", "alignment", "classification"]),
        ({"method": "eszsl", "settings": {"loss": "triplet"}}, ["eszsl", "no swappable"]),
        ({"method": "kda", "settings": {"loss.scale": "1"}}, ["alignment_loss", "classification_loss"]),
        ({"method": "kda", "settings": {"loss": "cross_entropy", "classification_loss": "adaptive_margin"}}, ["twice"]),
        ({"method": "kda", "settings": {"alignment_loss": "cross_entropy"}}, ["cross_entropy", "classification"]),
        ({"method": "kda", "settings": {"classification_loss.scal": "1"}}, ["scal"]),
        ({"method": "eszsl", "settings": {"epochs": "3"}}, ["epochs"]),
        ({"settings": {"encoder.dims": "3"}}, ["dims", "dim"]),
        ({"search": {"learning_rate": []}}, ["learning_rate", "a,b,c"]),
        ({"search": {"learning_rat": ["1"]}}, ["learning_rat", "learning_rate"]),
    ],
)
def test_bad_choices_are_one_line(choices, words):
    with pytest.raises(AvgzslError) as caught:
        one(**choices)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line, line


def test_assignments():
    assert config.parse(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    for bad in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(AvgzslError):
            config.parse(bad)

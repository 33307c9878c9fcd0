"""Sequences in the feature store: flat tokens and where each clip ends."""

import os

import numpy as np
import pytest

from avgzsl_bench import features
from avgzsl_bench.clips import SUBSETS, ClassInfo, FeatureSet, Tokens
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import ROLES_IN, Manifest
from avgzsl_bench.importers.writing import Incoming, Sequences, write_store

CLASSES = [ClassInfo(role, role, role) for role in ("train", "validation_unseen", "test_unseen")]
DIMS = {"audio": 3, "video": 5}
KINDS = {"audio": np.dtype(np.uint8), "video": np.dtype(np.float32)}


def tokens_of(clip, modality):
    """Between one and five tokens, drawn for a clip's name."""
    rng = np.random.default_rng([ord(letter) for letter in clip + modality])
    return rng.integers(0, 256, (rng.integers(1, 6), DIMS[modality])).astype(KINDS[modality])


def incoming(subset, order=1, kinds=KINDS, read=tokens_of):
    pairs = [(f"{subset}-{n}", n % 3) for n in range(12) if CLASSES[n % 3].role in ROLES_IN[subset]][::order]
    ids, label = [clip for clip, _ in pairs], [class_id for _, class_id in pairs]

    def blocks(modality):
        yield read(ids[0], modality)
        yield np.concatenate([read(clip, modality) for clip in ids[1:]])

    sequences = {m: Sequences([len(tokens_of(clip, m)) for clip in ids], kinds[m]) for m in DIMS}
    return Incoming(ids, label, blocks, None, sequences)


def write(folder, changes=None, **options):
    facts = {"dataset": "toy", "revision": "1", "features": "tiny", "split": "main", "classes": CLASSES, "temporal": True}
    parts = {name: incoming(name, **options) for name in SUBSETS} | (changes or {})
    return write_store(folder, Manifest(**(facts | DIMS)), parts)


def open_store(folder):
    return features.open_splits(folder, tuple(CLASSES), FeatureSet(**DIMS), "not there")


def test_what_is_written_is_what_is_read_in_the_type_it_came_in(tmp_path):
    manifest = write(tmp_path / "s", order=-1)
    splits = open_store(tmp_path / "s")
    assert splits.temporal
    clips = splits.load("train", "validation_unseen")
    assert clips.ids == tuple(
        f"{name}-{n}" for name, all_ in (("train", (0, 3, 6, 9)), ("validation_unseen", (1, 10, 4, 7))) for n in all_
    )
    for modality in DIMS:
        tokens = getattr(clips, modality)
        assert tokens.dim == DIMS[modality]
        for place, clip in enumerate(clips.ids):
            np.testing.assert_array_equal(tokens.clip(place), tokens_of(clip, modality))
            assert tokens.clip(place).dtype == KINDS[modality]
        assert manifest.subsets["train"].tokens[modality] == splits.read("train")[modality == "video"].length.sum()


def test_tokens_stay_on_disk_also_of_several_subsets_together(tmp_path):
    write(tmp_path / "s")
    clips = open_store(tmp_path / "s").load("train", "validation_seen", "validation_unseen")
    for tokens in (clips.audio, clips.video):
        assert isinstance(tokens, Tokens)
        assert all(isinstance(part, np.memmap) for part in tokens.parts)
        assert isinstance(tokens.clip(3), np.memmap)


def test_opening_reads_nothing_and_the_test_files_stay_closed_until_unsealed(tmp_path, monkeypatch):
    write(tmp_path / "s")
    for path in (tmp_path / "s").glob("test_*.npy"):
        stat = path.stat()
        path.write_bytes(os.urandom(stat.st_size))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    read, load = [], np.load
    monkeypatch.setattr(np, "load", lambda path, **options: (read.append(path.name), load(path, **options))[1])
    splits = open_store(tmp_path / "s")
    assert read == []
    splits.load("train", "validation_seen", "validation_unseen")
    assert read
    assert not any(name.startswith("test") for name in read)
    (tmp_path / "selection.json").write_text("{}")
    with pytest.raises(AvgzslError, match=r"test_seen clips .* cannot be read"):
        splits.unseal(tmp_path / "selection.json")


def test_the_hash_does_not_depend_on_the_order_of_the_source_but_on_what_is_stored(tmp_path):
    one = write(tmp_path / "a").content_sha256
    assert write(tmp_path / "b", order=-1).content_sha256 == one
    assert write(tmp_path / "c", kinds=KINDS | {"audio": np.dtype(np.float32)}).content_sha256 != one
    assert (
        write(tmp_path / "d", read=lambda clip, m: tokens_of(clip, m) ^ 1 if m == "audio" else tokens_of(clip, m)).content_sha256
        != one
    )


@pytest.mark.parametrize("modality", DIMS)
def test_the_hash_depends_on_where_clips_end(tmp_path, modality):
    one = write(tmp_path / "a").content_sha256
    part = incoming("train")
    length = list(part.sequences[modality].length)
    most = int(np.argmax(length))
    length[most], length[most - 1] = length[most] - 1, length[most - 1] + 1
    moved = part._replace(sequences={**part.sequences, modality: Sequences(length, KINDS[modality])})
    assert write(tmp_path / "b", {"train": moved}).content_sha256 != one


def test_a_moved_end_is_found_on_verifying_and_on_reading_a_copy(tmp_path):
    write(tmp_path / "s")
    assert features.verify(tmp_path / "s") == []
    path = tmp_path / "s" / "train.audio.offsets.npy"
    offsets = np.load(path)
    offsets[1] += 1
    np.save(path, offsets)
    assert "train clips" in features.verify(tmp_path / "s")[0]
    with pytest.raises(AvgzslError, match=r"train clips .* not the ones that were imported"):
        open_store(tmp_path / "s").load("train")


def test_a_missing_file_of_ends_is_found_on_opening(tmp_path):
    write(tmp_path / "s")
    (tmp_path / "s" / "test_unseen.video.offsets.npy").unlink()
    with pytest.raises(AvgzslError, match=r"test_unseen\.video\.offsets\.npy is missing"):
        open_store(tmp_path / "s")


def broken(bad_clip):
    def read(clip, modality):
        tokens = tokens_of(clip, modality)
        if modality == "video" and clip == bad_clip:
            tokens[-1, 2] = np.nan
        return tokens

    return read


def test_the_clip_of_a_bad_token_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(AvgzslError, match=r"train.video: clip 'train-6' holds NaN"):
        write(tmp_path / "s", {"train": incoming("train", read=broken("train-6"))})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("off", "found"), [(-1, "more than {}"), (1, "{}")])
def test_other_rows_than_were_counted_are_refused(tmp_path, off, found):
    part = incoming("train")
    length = [*part.sequences["video"].length[:-1], part.sequences["video"].length[-1] + off]
    counted = part._replace(sequences={**part.sequences, "video": Sequences(length, KINDS["video"])})
    given = found.format(sum(length) - (off == 1))
    with pytest.raises(AvgzslError, match=f"train.video: the source gives {given} rows for {sum(length)} tokens"):
        write(tmp_path / "s", {"train": counted})
    assert list(tmp_path.iterdir()) == []

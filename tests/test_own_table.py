"""`avgzsl data import NAME --table`: features of one's own as a data set of one's own."""

import csv
import io

import numpy as np
import pytest

from avgzsl_bench import datasets, files
from avgzsl_bench.clips import SUBSETS


def write_table(folder, **changes):
    """Nine clips of three classes, one in no subset; `changes` replace files' contents."""
    subsets = {
        "bee": ["train", "validation_seen", "test_seen"],
        "car": ["validation_unseen", "test_seen"],
        "owl": ["test_unseen"] * 2,
    }
    rows = [(f"clip-{name}-{i}", name, subset) for name, places in subsets.items() for i, subset in enumerate(places)]
    rng = np.random.default_rng(0)
    made = {
        "audio": rng.standard_normal((len(rows) + 1, 4)),
        "video": rng.standard_normal((len(rows) + 1, 6)),
        "clips": [clip for clip, *_ in rows] + ["spare"],
        "split": [("clip", "class", "subset", "text_name"), *((*row, f"a {row[1]}") for row in rows)],
    } | changes
    for modality in ("audio", "video"):
        np.save(folder / f"{modality}.npy", made[modality], allow_pickle=True)
    (folder / "clips.txt").write_text("\n".join(made["clips"]) + "\n")
    text = io.StringIO()
    csv.writer(text).writerows(made["split"])
    (folder / "split.csv").write_text(text.getvalue())
    named = {"audio": "audio.npy", "video": "video.npy", "clips": "clips.txt", "split": "split.csv"}
    return ["--table", *(part for flag, name in named.items() for part in (f"--{flag}", folder / name))]


def test_a_table_becomes_a_data_set(avgzsl, tmp_path):
    table = write_table(tmp_path)
    code, out, _ = avgzsl("data", "import", "my_clips", *table)
    assert code == 0
    assert "left out, since the split does not use them: spare" in out
    data = datasets.get("my_clips")
    assert [tuple(info) for info in data.classes("main")] == [
        ("bee", "a bee", "train"),
        ("car", "a car", "validation_unseen"),
        ("owl", "a owl", "test_unseen"),
    ]
    splits = data.open(files.data_root(), *data.presets["own"])
    assert (splits.features.audio, splits.features.video, splits.synthetic) == (4, 6, False)
    clips = {name: splits.read(name).ids for name in SUBSETS}
    assert clips["test_seen"] == ("clip-bee-2", "clip-car-1")
    np.testing.assert_array_equal(splits.load("train").audio[0], np.load(tmp_path / "audio.npy")[0].astype(np.float32))
    assert "nothing to do" in avgzsl("data", "import", "my_clips", *table)[1]
    assert "my_clips" in avgzsl("data", "list")[1]
    assert avgzsl("data", "verify", "my_clips")[0] == 0
    with pytest.raises(Exception, match="did you mean my_clips"):
        datasets.get("my_clip")
    write_table(tmp_path, audio=np.ones((8, 4)))
    assert "imported again" in avgzsl("data", "import", "my_clips", *table)[1]


SPLIT = [("clip", "class", "subset"), ("clip-bee-0", "bee", "train")]
BAD_TABLES = {
    "has 7 rows for the 8 clip ids": {"audio": np.ones((7, 4))},
    "holds shape (8,) and type float64": {"audio": np.ones(8)},
    "holds shape (8, 4) and type int64": {"audio": np.ones((8, 4), int)},
    "audio.npy is no readable .npy array": {"audio": np.array([{}] * 8, dtype=object)},
    "lists clip 'x' twice": {"clips": ["x"] * 8},
    "it needs clip, class and subset": {"split": [("id", "class", "subset")]},
    "subset 'test'": {"split": [*SPLIT, ("clip-bee-1", "bee", "test")]},
    "which has no features": {"split": [*SPLIT, ("clip-emu-1", "emu", "train")]},
    "a clip stands in one subset": {"split": [*SPLIT, ("clip-bee-0", "bee", "test_seen")]},
    "validation_seen has no clip of 'bee'": {"split": SPLIT},
    "gives no class for clip": {"split": [*SPLIT, ("clip-bee-1", "", "train")]},
    "the text names": {
        "split": [
            ("clip", "class", "subset", "text_name"),
            ("clip-bee-0", "bee", "train", "a"),
            ("clip-bee-1", "bee", "train", "b"),
        ]
    },
    "holds NaN": {"video": np.full((8, 6), np.nan)},
}


@pytest.mark.parametrize(("message", "changes"), BAD_TABLES.items(), ids=BAD_TABLES)
def test_bad_tables_are_refused_in_one_line(refused, tmp_path, message, changes):
    assert message in refused("data", "import", "my_clips", *write_table(tmp_path, **changes))


def test_the_text_files_of_a_table_may_start_with_a_byte_order_mark(avgzsl, tmp_path):
    table = write_table(tmp_path)
    for name in ("clips.txt", "split.csv"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
    code, _, err = avgzsl("data", "import", "my_clips", *table)
    assert code == 0, err


def test_text_in_another_encoding_is_one_line(refused, tmp_path):
    table = write_table(tmp_path)
    (tmp_path / "clips.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    assert "clips.txt is no readable text file" in refused("data", "import", "my_clips", *table)


def test_names_and_flags_of_tables(refused, tmp_path):
    table = write_table(tmp_path)
    assert "registered data set" in refused("data", "import", "ucf", *table)
    assert "no plain name" in refused("data", "import", "../ucf", *table)
    assert "--clips, --split missing" in refused("data", "import", "my_clips", *table[:5])
    assert "is no readable" in refused("data", "import", "my_clips", *table[:1], "--audio", tmp_path / "nothing.npy", *table[3:])

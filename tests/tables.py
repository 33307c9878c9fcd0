"""A small table of one's own for tests: clips whose features follow the words of their class. Synthetic."""

import csv

import numpy as np

from avgzsl_bench import datasets
from avgzsl_bench.contracts import SUBSETS
from avgzsl_bench.files import data_root
from avgzsl_bench.importers import table

CLASSES = {
    "train": ["red dog", "red cat", "blue dog", "blue cat", "green dog", "green bird", "black bird", "black cow"],
    "validation_unseen": ["red bird", "green cat", "black dog"],
    "test_unseen": ["blue bird", "green cow", "black cat", "red cow"],
}
CLIPS = {"train": 12, "validation_seen": 5, "validation_unseen": 8, "test_seen": 5, "test_unseen": 8}


def classes_of(subset):
    """The classes with clips in a subset: test_seen has those of both training and validation."""
    if subset == "test_seen":
        return CLASSES["train"] + CLASSES["validation_unseen"]
    return CLASSES["train" if subset == "validation_seen" else subset]


def write(folder, seed=0, noise=0.6, name="mini"):
    """Write and import the table; returns its store folder."""
    rng = np.random.default_rng(seed)
    words = {word: rng.standard_normal(24) for names in CLASSES.values() for text in names for word in text.split()}
    rows, audio, video = [], [], []
    for subset in SUBSETS:
        for text in classes_of(subset):
            for number in range(CLIPS[subset]):
                rows.append({"clip": f"synthetic-{subset}-{text}-{number}", "class": text, "subset": subset})
                code = sum(words[word] for word in text.split())
                audio.append(code[:12] + noise * rng.standard_normal(12))
                video.append(code[8:] + noise * rng.standard_normal(16))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "audio.npy", np.array(audio, dtype=np.float32))
    np.save(folder / "video.npy", np.array(video, dtype=np.float32))
    (folder / "clips.txt").write_text("\n".join(row["clip"] for row in rows) + "\n")
    with (folder / "split.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["clip", "class", "subset"])
        writer.writeheader()
        writer.writerows(rows)
    inputs = table.Inputs(folder / "audio.npy", folder / "video.npy", folder / "clips.txt", folder / "split.csv")
    table.import_table(name, inputs, data_root(), datasets.OWN)
    return next(data_root().glob(f"{name}-*"))

"""A full-size synthetic copy of the authors' layout, so that imports and runs can be tried without the real files.

Class lists and clip counts are the published ones; every number in the features is invented, and the folder says so.
"""

import hashlib
import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import files
from avgzsl_bench.clips import SUBSETS
from avgzsl_bench.datasets._codes import text_vector
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import MODALITIES, ROLES_IN
from avgzsl_bench.importers.layout import FOLDERS, SYNTHETIC, UNION, Layout

CODE = 64  # numbers in a class's code, which is made of the words of its name and has length one
OWN = 1.0  # size of what is peculiar to a class, relative to what its name gives
NOISE = 2.0  # size of what is peculiar to a clip
TRAIN_PER_VALIDATION = 9  # invented training clips for each of validation_seen: the ratio of the data sets that are known

Counts = dict[str, dict[int, int]]


def write_copy(layout: Layout, out: Path) -> Path:
    """Write the copy as the folder `out`/<data set>, whole or not at all, and return that folder.

    Raises AvgzslError when that folder exists (it may hold real features) or cannot be written.
    """
    target = out / layout.folder
    if target.exists():
        raise AvgzslError(f"{target} exists already; choose another --out, or remove it")
    counts = _counts(layout)
    with files.whole_folder(target) as folder:
        for subset in SUBSETS:
            for class_id, clips in counts[subset].items():
                _write_class(layout, folder, counts, class_id, FOLDERS[subset], {subset: clips})
        for class_id in {i for subset in SUBSETS[:3] for i in counts[subset]}:
            parts = {subset: counts[subset][class_id] for subset in SUBSETS[:3] if class_id in counts[subset]}
            _write_class(layout, folder, counts, class_id, UNION, parts)
        _write_class_lists(layout, folder)
        files.write_whole(folder / SYNTHETIC, json.dumps(_about(layout, counts), indent=1) + "\n")
    return target


def _counts(layout: Layout) -> Counts:
    """Clips to write for each class: as published, and invented for training clips whose counts are not known."""
    counts = {subset: dict(layout.counts[subset]) for subset in SUBSETS}
    for class_id, clips in counts["validation_seen"].items():
        counts["train"].setdefault(class_id, TRAIN_PER_VALIDATION * clips)
    return counts


def _write_class(layout: Layout, folder: Path, counts: Counts, class_id: int, place: str, parts: dict[str, int]) -> None:
    name = layout.classes[class_id].name
    ids = [f"v_synthetic_{name}_g{n // 7 + 1:02d}_c{n % 7 + 1:02d}" for n in _numbers(counts, class_id, parts)]
    for modality in MODALITIES:
        path = folder / layout.base / modality / place / f"{name}.h5"
        files.make_folder(path.parent)
        with h5py.File(path, "w") as file:
            file["data"] = np.concatenate([_clips(layout, modality, class_id, subset, n) for subset, n in parts.items()])
            file["video_urls"] = np.array([clip.encode() for clip in ids])


def _numbers(counts: Counts, class_id: int, parts: dict[str, int]) -> list[int]:
    """Running numbers of these clips within their class, so that no id stands in two subsets."""
    before = dict.fromkeys(SUBSETS, 0)
    for earlier, later in pairwise(SUBSETS):
        before[later] = before[earlier] + counts[earlier].get(class_id, 0)
    return [before[subset] + i for subset, clips in parts.items() for i in range(clips)]


def _clips(layout: Layout, modality: str, class_id: int, subset: str, clips: int) -> NDArray[np.float32]:
    """Non-negative features (clips, dim) whose class shows through a random linear map of the words of its name."""
    dim = getattr(layout.widths, modality)
    code = text_vector(layout.classes[class_id].text_name, CODE)
    mean = code @ _map(layout.dataset, layout.kind, modality, dim)
    mean += OWN * _random(layout.dataset, layout.kind, modality, str(class_id)).standard_normal(dim)
    noise = _random(layout.dataset, layout.kind, modality, str(class_id), subset).standard_normal((clips, dim), dtype=np.float32)
    return np.maximum(mean.astype(np.float32) + np.float32(NOISE) * noise, 0)


@cache
def _map(dataset: str, kind: str, modality: str, dim: int) -> NDArray[np.float64]:
    return _random(dataset, kind, modality, "map").standard_normal((CODE, dim))


def _random(*parts: str) -> np.random.Generator:
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _write_class_lists(layout: Layout, folder: Path) -> None:
    lists = folder / "class-split"
    files.write_whole(lists / "all_class.txt", "".join(f"{info.name}\n" for info in layout.classes))
    for subset, place in FOLDERS.items():
        names = [info.name for info in layout.classes if info.role in ROLES_IN[subset]]
        files.write_whole(lists / f"{layout.split}_split" / f"{place}.txt", "".join(f"{name}\n" for name in names))


def _about(layout: Layout, counts: Counts) -> dict[str, object]:
    invented = ["every feature value", "every clip id"]
    if any(i not in layout.counts["train"] for i in counts["train"]):
        invented.append(f"clips of each class in stage_1_train: {TRAIN_PER_VALIDATION} for each in stage_1_val_seen")
    return {
        "synthetic": "This folder was written by `avgzsl data synth`; it is not the data set and measures nothing.",
        "dataset": layout.dataset,
        "features": layout.kind,
        "invented": invented,
        "clips": {subset: sum(counts[subset].values()) for subset in SUBSETS},
    }

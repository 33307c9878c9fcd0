"""A full-size synthetic copy of the authors' layout, so that imports and runs can be tried without the real files.

Class lists and clip counts are the published ones; every number in the features is invented, and the folder says so.
"""

import hashlib
import json
import pickle
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import files
from avgzsl_bench.clips import SUBSETS
from avgzsl_bench.datasets._codes import text_vector
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import MODALITIES, ROLES_IN
from avgzsl_bench.importers.layout import FOLDERS, FPS, SYNTHETIC, UNION, Layout

CODE = 64  # numbers in a class's code, which is made of the words of its name and has length one
OWN = 1.0  # size of what is peculiar to a class, relative to what its name gives
NOISE = 2.0  # size of what is peculiar to a clip, and to a token of a sequence
SECONDS = 4.0  # how long the longest sequences are, the shortest half as long; real clips last about ten
VGGISH = 32.0  # what VGGish tokens are scaled by before they become numbers of 0 to 255
TRAIN_PER_VALIDATION = 9  # invented training clips for each of validation_seen: the ratio of the data sets that are known

Counts = dict[str, dict[int, int]]


def write_copy(layout: Layout, out: Path, seconds: float = SECONDS) -> Path:
    """Write the copy as the folder `out`/<data set>, whole or not at all, and return that folder.

    Sequences last from half of `seconds` to all of it. They have no stage_2_train, which repeats the others.

    Raises AvgzslError when that folder exists (it may hold real features) or cannot be written.
    """
    target = out / layout.folder
    if target.exists():
        raise AvgzslError(f"{target} exists already; choose another --out, or remove it")
    counts = _counts(layout)
    with files.whole_folder(target) as folder:
        for subset in SUBSETS:
            for class_id, clips in counts[subset].items():
                _write_class(layout, folder, counts, class_id, FOLDERS[subset], {subset: clips}, seconds)
        for class_id in {i for subset in SUBSETS[:3] for i in counts[subset] if layout.suffix == "h5"}:
            parts = {subset: counts[subset][class_id] for subset in SUBSETS[:3] if class_id in counts[subset]}
            _write_class(layout, folder, counts, class_id, UNION, parts, seconds)
        _write_class_lists(layout, folder)
        files.write_whole(folder / SYNTHETIC, json.dumps(_about(layout, counts, seconds), indent=1) + "\n")
    return target


def _counts(layout: Layout) -> Counts:
    """Clips to write for each class: as published, and invented for training clips whose counts are not known."""
    counts = {subset: dict(layout.counts[subset]) for subset in SUBSETS}
    for class_id, clips in counts["validation_seen"].items():
        counts["train"].setdefault(class_id, TRAIN_PER_VALIDATION * clips)
    return counts


def _write_class(
    layout: Layout, folder: Path, counts: Counts, class_id: int, place: str, parts: dict[str, int], seconds: float
) -> None:
    name = layout.classes[class_id].name
    ids = _clip_ids(layout, counts, class_id, parts)
    for modality in MODALITIES:
        path = folder / layout.base / modality / place / f"{name}.{layout.suffix}"
        files.make_folder(path.parent)
        clips = np.concatenate([_clips(layout, modality, class_id, subset, n) for subset, n in parts.items()])
        if layout.suffix == "h5":
            with h5py.File(path, "w") as file:
                file["data"] = clips
                file["video_urls"] = np.array([clip.encode() for clip in ids])
        else:
            features = _sequences(layout, modality, name + place, clips, seconds) if layout.temporal else list(_unit(clips))
            content = {"features": features, "video_names": ids, "fps": [FPS] * len(ids)}
            path.write_bytes(pickle.dumps(content, protocol=4))


def _unit(clips: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(clips / np.linalg.norm(clips, axis=1, keepdims=True))


def _sequences(layout: Layout, modality: str, which: str, clips: NDArray[np.float32], seconds: float) -> list[NDArray[Any]]:
    """Tokens around each clip, as many as fit into its time, which is the same for audio and video."""
    times = _random(layout.dataset, layout.kind, "time", which).uniform(seconds / 2, seconds, len(clips))
    length = np.maximum(times // layout.widths.seconds[modality], 1).astype(np.int64)
    rng = _random(layout.dataset, layout.kind, modality, "tokens", which)
    noise = rng.standard_normal((length.sum(), clips.shape[1]), dtype=np.float32)
    tokens = np.maximum(np.repeat(clips, length, axis=0) + np.float32(NOISE) * noise, 0)
    quantised = layout.features == "c3d_vggish" and modality == "audio"
    kept = np.minimum(tokens * VGGISH, 255).astype(np.uint8) if quantised else tokens
    return [np.ascontiguousarray(part) for part in np.split(kept, np.cumsum(length)[:-1])]


def _clip_ids(layout: Layout, counts: Counts, class_id: int, parts: dict[str, int]) -> list[str]:
    """Ids of these clips like the authors', as many of test_seen of a video that stands in training as are known to be."""
    before = dict.fromkeys(SUBSETS, 0)
    for earlier, later in pairwise(SUBSETS):
        before[later] = before[earlier] + counts[earlier].get(class_id, 0)
    about = {"name": layout.classes[class_id].name, "class_id": class_id}
    trained, again = before["test_seen"], layout.trained.get(class_id, 0)
    numbers = [before[subset] + i for subset, clips in parts.items() for i in range(clips)]
    places = [_place(number, trained, again, layout.clip_ids.videos) for number in numbers]
    return [layout.clip_ids.synthetic.format(**about, video=video + 1, part=part + 1) for video, part in places]


def _place(number: int, trained: int, again: int, most: int) -> tuple[int, int]:
    """(source video, part of it) of a class's clip: the `trained` first, `again` more of their videos, then of others."""
    videos = min(trained, most)
    if number < trained + again:
        return number % videos, number // videos
    number -= trained + again
    return videos + number % most, number // most


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


def _about(layout: Layout, counts: Counts, seconds: float) -> dict[str, object]:
    invented = ["every feature value", "every clip id"]
    if layout.temporal:
        invented.append(f"the length of every clip, {seconds / 2:g} to {seconds:g} seconds")
    if any(i not in layout.counts["train"] for i in counts["train"]):
        invented.append(f"clips of each class in stage_1_train: {TRAIN_PER_VALIDATION} for each in stage_1_val_seen")
    return {
        "synthetic": "This folder was written by `avgzsl data synth`; it is not the data set and measures nothing.",
        "dataset": layout.dataset,
        "features": layout.kind,
        "temporal": layout.temporal,
        "invented": invented,
        "clips": {subset: sum(counts[subset].values()) for subset in SUBSETS},
    }

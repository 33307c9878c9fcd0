"""Bring a table of one's own (two arrays, clip ids and a split) into the store as a data set."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import features as store
from avgzsl_bench import files
from avgzsl_bench.clips import SUBSETS, ClassInfo, Role
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import Manifest, Source
from avgzsl_bench.importers import NOTHING, Report, up_to_date, write
from avgzsl_bench.importers.writing import Incoming

_PIECE = 4096  # rows copied at a time


class Inputs(NamedTuple):
    """Files of a table: arrays (clips, dim) of floats, one clip id a line in the same order, and a csv of the split.

    The csv has the columns clip, class, subset (one of SUBSETS) and, if wished, text_name, and video: what the clip was cut from.
    """

    audio: Path
    video: Path
    clips: Path
    split: Path


class _Row(NamedTuple):
    name: str
    subset: str
    text_name: str
    video: str


def import_table(name: str, inputs: Inputs, root: Path, features: str) -> Report:
    """Import a table as the data set `name`, with one feature set called `features` and the split main.

    Raises AvgzslError, with nothing written, for files that do not fit together or classes that fit no role.
    """
    store.check_name(name, "data set")
    arrays = {"audio": _array(inputs.audio), "video": _array(inputs.video)}
    clips = _clip_ids(inputs.clips)
    for modality, array in arrays.items():
        if len(array) != len(clips):
            path = getattr(inputs, modality)
            raise AvgzslError(
                f"{path} has {len(array)} rows for the {len(clips)} clip ids of {inputs.clips}; give one row a clip"
            )
    rows = _read_split(inputs.split, set(clips))
    classes = _classes(rows, inputs.split)
    folder = store.store_folder(root, name, features, "main")
    header = Manifest(
        dataset=name,
        revision="own",
        features=features,
        split="main",
        audio=arrays["audio"].shape[1],
        video=arrays["video"].shape[1],
        own=True,
        classes=classes,
        left_out=[clip for clip in clips if clip not in rows],
    )
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in inputs]
    if (old := up_to_date(folder, header, stamps)) is not None:
        return Report(NOTHING, old)
    sources = [Source(path=n, size=s, mtime_ns=t, sha256=files.sha256(p)) for p, (n, s, t) in zip(inputs, stamps, strict=True)]
    incoming = {subset: _incoming(subset, arrays, clips, rows, classes) for subset in SUBSETS}
    return write(folder, header.model_copy(update={"sources": sources}), incoming)


def _array(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AvgzslError(f"{path} is no readable .npy array of numbers ({error}); save it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        found = f"shape {array.shape} and type {array.dtype}" if isinstance(array, np.ndarray) else "several arrays"
        raise AvgzslError(f"{path} holds {found}; give one .npy of floats of shape (clips, dim)")
    return array


def _clip_ids(path: Path) -> list[str]:
    clips = [line.strip() for line in _text(path).splitlines() if line.strip()]
    if len(set(clips)) != len(clips):
        twice = next(clip for i, clip in enumerate(clips) if clip in clips[:i])
        raise AvgzslError(f"{path} lists clip {twice!r} twice; every row needs an id of its own")
    return clips


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AvgzslError(f"{path} is no readable text file ({error}); give it as UTF-8") from error


def _read_split(path: Path, clips: set[str]) -> dict[str, _Row]:
    reader = csv.DictReader(_text(path).splitlines())
    if not {"clip", "class", "subset"} <= set(reader.fieldnames or ()):
        raise AvgzslError(
            f"{path} has the columns {reader.fieldnames or []}; it needs clip, class and subset (and may have text_name, video)"
        )
    rows: dict[str, _Row] = {}
    for line in reader:
        clip, name, subset = line["clip"], line["class"], line["subset"]
        if subset not in SUBSETS:
            raise AvgzslError(f"{path}: subset {subset!r} of clip {clip!r}; choose one of {', '.join(SUBSETS)}")
        if clip in rows:
            raise AvgzslError(f"{path} lists clip {clip!r} twice; a clip stands in one subset")
        if clip not in clips:
            raise AvgzslError(f"{path} lists clip {clip!r}, which has no features; remove the line or add the clip")
        if not name:
            raise AvgzslError(f"{path} gives no class for clip {clip!r}; name one")
        rows[clip] = _Row(name, subset, line.get("text_name") or name, (line.get("video") or "").strip())
    return rows


def _classes(rows: dict[str, _Row], path: Path) -> list[ClassInfo]:
    """The classes by name; a class's role follows from the subsets that its clips stand in."""
    subsets: dict[str, set[str]] = {}
    texts: dict[str, str] = {}
    for row in rows.values():
        subsets.setdefault(row.name, set()).add(row.subset)
        if texts.setdefault(row.name, row.text_name) != row.text_name:
            raise AvgzslError(
                f"{path} gives class {row.name!r} the text names {texts[row.name]!r} and {row.text_name!r}; keep one"
            )
    return [ClassInfo(name, texts[name], _role(subsets[name])) for name in sorted(subsets)]


def _role(subsets: set[str]) -> Role:
    # the store then checks that the class has clips in every subset of its role, and in no other
    if "train" in subsets:
        return "train"
    return "validation_unseen" if "validation_unseen" in subsets else "test_unseen"


def _incoming(
    subset: str, arrays: dict[str, NDArray[Any]], clips: list[str], rows: dict[str, _Row], classes: list[ClassInfo]
) -> Incoming:
    ids = {info.name: i for i, info in enumerate(classes)}
    places = np.array([i for i, clip in enumerate(clips) if clip in rows and rows[clip].subset == subset], np.int64)
    chosen = [clips[i] for i in places]

    def blocks(modality: str) -> Iterator[NDArray[Any]]:
        for start in range(0, len(places), _PIECE):
            yield arrays[modality][places[start : start + _PIECE]]

    # a line that names no video is of a clip that is a video of its own
    videos = [rows[clip].video or clip for clip in chosen] if any(row.video for row in rows.values()) else ()
    return Incoming(chosen, [ids[rows[clip].name] for clip in chosen], blocks, videos=videos)

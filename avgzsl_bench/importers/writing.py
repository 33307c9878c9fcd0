"""Writing features into the store: clips in their canonical order, checked, hashed, and whole or not at all."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import features as store
from avgzsl_bench import files
from avgzsl_bench.clips import SUBSETS, ClassInfo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import MODALITIES, ROLES_IN, Manifest, Subset


class Sequences(NamedTuple):
    """How long the clips of one modality are, in the order of their source, and the type that their tokens are kept in."""

    length: list[int]
    kind: np.dtype[Any]


class Incoming(NamedTuple):
    """Clips of one subset on their way into the store, in the order of their source."""

    ids: list[str]
    label: list[int]
    blocks: Callable[[str], Iterator[NDArray[Any]]]  # rows of "audio" or "video" in the order of `ids`, piece by piece
    expected: int | None = None
    sequences: Mapping[str, Sequences] = {}  # of both modalities where a clip has several rows, its tokens
    videos: Sequence[str] = ()  # the source video of each clip, where the source says it


def write_store(folder: Path, manifest: Manifest, incoming: Mapping[str, Incoming]) -> Manifest:
    """Write one store, whole or not at all; the manifest is completed with hashes and clip ids, and returned.

    Raises AvgzslError for clips standing twice, classes with too few clips or none, more or fewer rows than clips, values
    that are not finite, and a disk that refuses.
    """
    check_clips(manifest.classes, incoming)
    with files.whole_folder(folder) as temporary:
        subsets = {name: _write_subset(temporary, manifest, name, incoming[name]) for name in SUBSETS}
        content = store.content_sha256({name: subset.sha256 for name, subset in subsets.items()})
        complete = manifest.model_copy(update={"subsets": subsets, "content_sha256": content})
        files.write_whole(temporary / "manifest.json", complete.model_dump_json(indent=1))
    return complete


def _write_subset(folder: Path, manifest: Manifest, name: str, incoming: Incoming) -> Subset:
    order = np.array(sorted(range(len(incoming.ids)), key=incoming.ids.__getitem__), np.int64)
    for modality in MODALITIES:
        _write_modality(folder, manifest, f"{name}.{modality}", order, incoming)
    np.save(folder / f"{name}.label.npy", np.array(incoming.label, np.int64)[order])
    ids = [incoming.ids[i] for i in order]
    videos = [incoming.videos[i] for i in order] if incoming.videos else None
    stored = {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.glob(f"{name}.*.npy"))}
    return Subset(
        clips=len(ids),
        expected=incoming.expected,
        tokens={modality: sum(sequences.length) for modality, sequences in incoming.sequences.items()},
        sha256=store.subset_sha256(store.map_subset(folder, name, ids, manifest.temporal), videos),
        ids=ids,
        videos=videos,
        stored=stored,
    )


class _Rows(NamedTuple):
    """The rows of one modality in the order of their source: the clip that each is of, and its place in the store."""

    stem: str
    unit: str  # what a row is: a clip, or a token of one
    ids: list[str]
    clip: NDArray[np.int64]  # (rows,) index into ids
    place: NDArray[np.int64]  # (rows,)

    def miscounted(self, found: str) -> AvgzslError:
        line = f"{self.stem}: the source gives {found} rows for {len(self.place)} {self.unit}s"
        return AvgzslError(f"{line}; give one row a {self.unit} and import again")


def _write_modality(folder: Path, manifest: Manifest, stem: str, order: NDArray[np.int64], incoming: Incoming) -> None:
    modality = stem.rpartition(".")[2]
    length, kind, unit = np.ones(len(order), np.int64), np.dtype(np.float32), "clip"
    if incoming.sequences:
        length, kind, unit = np.array(incoming.sequences[modality].length), incoming.sequences[modality].kind, "token"
    offsets = np.concatenate([[0], np.cumsum(length[order])])  # (clips + 1,) in the store
    moved = np.empty_like(length)  # (clips,) from the first row of a clip in the source to that in the store
    moved[order] = offsets[:-1]
    moved -= np.cumsum(length) - length
    clip = np.repeat(np.arange(len(order)), length)
    rows = _Rows(stem, unit, incoming.ids, clip, np.arange(len(clip)) + moved[clip])
    _write_rows(folder / f"{stem}.npy", (len(clip), getattr(manifest, modality)), kind, rows, incoming.blocks(modality))
    if incoming.sequences:
        np.save(folder / f"{stem}.offsets.npy", offsets)


def _write_rows(path: Path, shape: tuple[int, int], kind: np.dtype[Any], rows: _Rows, blocks: Iterator[NDArray[Any]]) -> None:
    out = np.lib.format.open_memmap(path, "w+", kind, shape)  # (rows, dim)
    _claim(path)
    row = 0
    for block in blocks:
        now = slice(row, row + len(block))
        if now.stop > shape[0]:
            raise rows.miscounted(f"more than {shape[0]}")
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is then named
            kept = np.asarray(block, kind)
        bad = ~np.isfinite(kept).all(axis=1)
        if bad.any():
            clip = rows.ids[rows.clip[row + int(bad.argmax())]]
            raise AvgzslError(f"{rows.stem}: clip {clip!r} holds NaN or infinite values; extract it again or leave it out")
        out[rows.place[now]] = kept
        row = now.stop
    if row < shape[0]:
        raise rows.miscounted(str(row))
    out.flush()


def _claim(path: Path) -> None:
    """Claim the blocks of a sparse file, so that a full disk is an error here and not a killed process on a page fault."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def check_clips(classes: list[ClassInfo], incoming: Mapping[str, Incoming]) -> None:
    """No clip stands twice, and each subset has clips of exactly the classes whose role belongs there.

    Raises AvgzslError naming the clip, or the class and the subset.
    """
    where: dict[str, str] = {}
    for name in SUBSETS:
        _check_ids(name, incoming[name].ids, where)
        present = set(incoming[name].label)
        for i, info in enumerate(classes):
            if (info.role in ROLES_IN[name]) != (i in present):
                verb = "no clip of" if i not in present else "clips of"
                raise AvgzslError(
                    f"{name} has {verb} {info.name!r}, a class with the role {info.role}; mend the split or the files"
                )


def _check_ids(name: str, ids: list[str], where: dict[str, str]) -> None:
    for clip in ids:
        if clip in where:
            twice = f"twice in {name}" if where[clip] == name else f"in both {where[clip]} and {name}"
            raise AvgzslError(f"clip {clip!r} stands {twice}; keep it in one place")
        where[clip] = name

"""Bring the authors' feature files (one HDF5 file a class, subset and modality) into the store."""

import difflib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import features as store
from avgzsl_bench import pickles
from avgzsl_bench.clips import SUBSETS, ClassInfo, FeatureSet
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import MODALITIES, ROLES_IN, Incoming, Manifest
from avgzsl_bench.importers import NOTHING, Report, up_to_date, write
from avgzsl_bench.importers.sources import Folder, Zip, open_source

SYNTHETIC = "SYNTHETIC.json"  # the file that marks a synthetic copy of this layout
FOLDERS = {
    "train": "stage_1_train",
    "validation_seen": "stage_1_val_seen",
    "validation_unseen": "stage_1_val_unseen",
    "test_seen": "stage_2_test_seen",
    "test_unseen": "stage_2_test_unseen",
}
UNION = "stage_2_train"  # the first three again; checked, not stored


class Layout(NamedTuple):
    """What the authors' files of one (data set, features, split) are called and must hold."""

    dataset: str
    revision: str
    folder: str  # the data set's own folder, such as "UCF"
    kind: str  # "main" or "cls": the authors' name of the features
    features: str
    split: str
    widths: FeatureSet
    classes: tuple[ClassInfo, ...]
    counts: Mapping[str, Mapping[int, int]]  # subset -> class id -> clips, where known
    fold_case: bool  # whether the authors compare class names lower-cased

    @property
    def base(self) -> str:
        """The folder of the features below the data set's."""
        return f"features/{self.kind}_features"

    def class_id(self, name: str, where: str) -> int:
        """The class of a file's name; raises AvgzslError, with near matches, when there is none."""
        ids = {info.name.lower() if self.fold_case else info.name: i for i, info in enumerate(self.classes)}
        key = name.lower() if self.fold_case else name
        if key not in ids:
            near = difflib.get_close_matches(name, [info.name for info in self.classes], 2)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise AvgzslError(f"{where}: unknown class {name!r} of {self.dataset}; {hint}`avgzsl show {self.dataset}` lists them")
        return ids[key]


def import_layout(layout: Layout, path: Path, root: Path) -> Report:
    """Import one (features, split) from a folder or zip in the authors' layout into the store at `root`.

    Raises AvgzslError, with nothing written, for anything that contradicts what is known of the data set.
    """
    patterns = [f"{layout.base}/*/*/*.h5", f"{layout.base}/text/*.npy", f"class-split/{layout.split}_split/*.txt", SYNTHETIC]
    source = open_source(path, layout.folder, layout.base, patterns)
    folder = store.store_folder(root, layout.dataset, layout.features, layout.split)
    header = Manifest(
        dataset=layout.dataset,
        revision=layout.revision,
        features=layout.features,
        split=layout.split,
        audio=layout.widths.audio,
        video=layout.widths.video,
        classes=list(layout.classes),
    )
    if (old := up_to_date(folder, header, source.stamps())) is not None:
        return Report(NOTHING, old, [])
    _check_class_lists(layout, source)
    vectors = _word_vectors(layout, source)
    left_out: set[str] = set()
    incoming = {name: _scan(layout, source, name, left_out) for name in SUBSETS}
    _check_union(layout, source, incoming, left_out)
    short = _short(layout, incoming)
    update = {"synthetic": SYNTHETIC in source.names, "partial": bool(short), "left_out": sorted(left_out)}
    report = write(folder, header.model_copy(update={**update, "sources": source.sources()}), incoming, short)
    if vectors:
        store.store_word_vectors(layout.dataset, vectors)
    return report


def _check_class_lists(layout: Layout, source: Folder | Zip) -> None:
    for name in SUBSETS:
        path = f"class-split/{layout.split}_split/{FOLDERS[name]}.txt"
        if path not in source.names:
            continue
        listed = {layout.class_id(line.strip(), path) for line in _text(source, path).splitlines() if line.strip()}
        wanted = {i for i, info in enumerate(layout.classes) if info.role in ROLES_IN[name]}
        if listed != wanted:
            odd = layout.classes[min(listed ^ wanted)].name
            verb = "lists" if min(listed ^ wanted) in listed else "lacks"
            raise AvgzslError(f"{path} {verb} {odd!r}, against the published split; get class-split from its authors again")


def _text(source: Folder | Zip, path: str) -> str:
    try:
        return source.read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AvgzslError(f"{path} is no readable text file ({error}); get class-split from its authors again") from error


def _word_vectors(layout: Layout, source: Folder | Zip) -> Mapping[str, NDArray[np.float32]]:
    found = [name for name in source.names if name.startswith(f"{layout.base}/text/word_embeddings_")]
    return store.word_vectors_of(pickles.read_array(source.read(found[0]), found[0]), found[0]) if found else {}


def _scan(layout: Layout, source: Folder | Zip, subset: str, left_out: set[str]) -> Incoming:
    """Join the audio and video of one subset by clip id, reading names and shapes only."""
    ids: list[str] = []
    label: list[int] = []
    pieces: list[tuple[dict[str, str], NDArray[np.int64]]] = []
    for class_id, paths in sorted(_class_files(layout, source, subset, left_out).items()):
        audio, video = (_clip_ids(source, paths[modality], getattr(layout.widths, modality)) for modality in MODALITIES)
        pieces.append((paths, _rows_of(audio, video, paths)))
        ids += audio
        label += [class_id] * len(audio)

    def blocks(modality: str) -> Iterator[NDArray[np.float32]]:
        for paths, video_rows in pieces:
            rows = _rows(source, paths[modality])
            yield rows[video_rows] if modality == "video" else rows

    known = layout.counts[subset]
    wanted = [i for i, info in enumerate(layout.classes) if info.role in ROLES_IN[subset]]
    expected = sum(known[i] for i in wanted) if all(i in known for i in wanted) else None
    return Incoming(ids, label, blocks, expected)


def _class_files(layout: Layout, source: Folder | Zip, subset: str, left_out: set[str]) -> dict[int, dict[str, str]]:
    """The audio and video file of every class of a subset; classes that this split does not use are left out."""
    found: dict[int, dict[str, str]] = {}
    for modality in MODALITIES:
        folder = f"{layout.base}/{modality}/{FOLDERS[subset]}"
        for path in (name for name in source.names if name.startswith(f"{folder}/")):
            class_id = layout.class_id(PurePosixPath(path).stem, path)
            if layout.classes[class_id].role == "unused":
                left_out.add(layout.classes[class_id].name)
            elif (other := found.setdefault(class_id, {}).setdefault(modality, path)) != path:
                raise AvgzslError(f"{path} and {PurePosixPath(other).name} are the same class; keep one")
        for i, info in enumerate(layout.classes):
            if info.role in ROLES_IN[subset] and modality not in found.get(i, {}):
                raise AvgzslError(f"the file {folder}/{info.name}.h5 is missing; get the features again")
    for paths in found.values():
        for modality in MODALITIES:
            if modality not in paths:
                raise AvgzslError(f"{next(iter(paths.values()))} has no {modality} file beside it; get the features again")
    return found


def _rows_of(audio: list[str], video: list[str], paths: Mapping[str, str]) -> NDArray[np.int64]:
    """The video row of each audio clip."""
    for ids, modality in ((audio, "audio"), (video, "video")):
        if len(set(ids)) != len(ids):
            twice = next(clip for i, clip in enumerate(ids) if clip in ids[:i])
            raise AvgzslError(f"{paths[modality]} holds clip {twice!r} twice; get the file again")
    row = {clip: i for i, clip in enumerate(video)}
    if alone := sorted(set(audio) ^ set(video)):
        side = "audio only" if alone[0] not in row else "video only"
        raise AvgzslError(f"{paths['audio']} and its video hold different clips: {alone[0]!r} is in the {side}; get both again")
    return np.array([row[clip] for clip in audio], np.int64)


@contextmanager
def _opened(source: Folder | Zip, path: str) -> Iterator[dict[str, h5py.Dataset]]:
    """The two tables of a class file; whatever HDF5 finds wrong becomes one line that names the file."""
    try:
        with h5py.File(io.BytesIO(source.read(path)), "r") as file:
            for name in ("data", "video_urls"):
                if name not in file:
                    raise AvgzslError(f"{path} holds no table {name!r}; get the file again")
                if not isinstance(file.get(name, getlink=True), h5py.HardLink) or file[name].external or file[name].is_virtual:
                    raise AvgzslError(f"{path} keeps {name!r} outside itself, which is refused; get the file again")
            yield {"data": file["data"], "video_urls": file["video_urls"]}
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise AvgzslError(f"{path} is no readable HDF5 file of clips ({error}); get the file again") from error


def _clip_ids(source: Folder | Zip, path: str, dim: int) -> list[str]:
    with _opened(source, path) as tables:
        shape, kind = tables["data"].shape, tables["data"].dtype.kind
        raw = tables["video_urls"][()]
        ids = [clip.decode() if isinstance(clip, bytes) else str(clip) for clip in raw]
    if len(shape) != 2 or shape[1] != dim or kind != "f":
        raise AvgzslError(f"{path} holds data of shape {shape}, not (clips, {dim}) of floats; check --features and get it again")
    if len(ids) != shape[0] or not ids:
        raise AvgzslError(f"{path} holds {shape[0]} rows for {len(ids)} clip ids; get the file again")
    if odd := [clip for clip in ids if not clip or not clip.isprintable()]:
        raise AvgzslError(f"{path} holds {odd[0]!r} for a clip id; get the file again")
    return ids


def _rows(source: Folder | Zip, path: str) -> NDArray[np.float32]:
    with _opened(source, path) as tables:
        return np.asarray(tables["data"][()])  # (clips, dim)


def _check_union(layout: Layout, source: Folder | Zip, incoming: Mapping[str, Incoming], left_out: set[str]) -> None:
    """The authors' stage_2_train, where there is one, holds the clips of the first three subsets and no other."""
    folder = f"{layout.base}/audio/{UNION}/"
    listed: set[str] = set()
    for path in (name for name in source.names if name.startswith(folder)):
        if layout.classes[layout.class_id(PurePosixPath(path).stem, path)].name not in left_out:
            listed.update(_clip_ids(source, path, layout.widths.audio))
    joined = {clip for name in SUBSETS[:3] for clip in incoming[name].ids}
    if listed and (odd := sorted(listed ^ joined)):
        raise AvgzslError(f"{folder} is not the union of the three stage 1 folders: see clip {odd[0]!r}; get the features again")


def _short(layout: Layout, incoming: Mapping[str, Incoming]) -> list[str]:
    """One line for each class with fewer clips than published; more of them than published is an error."""
    notes = []
    for name, part in incoming.items():
        found = np.bincount(part.label, minlength=len(layout.classes))
        for i, known in layout.counts[name].items():
            if layout.classes[i].role not in ROLES_IN[name] or found[i] == known:
                continue
            line = f"{name} has {found[i]} clips of {layout.classes[i].name} where {known} are published"
            if found[i] > known:
                raise AvgzslError(f"{line}; get the features again, or import them as a data set of your own with --table")
            notes.append(line)
    return notes

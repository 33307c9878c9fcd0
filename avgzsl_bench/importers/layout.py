"""Bring the authors' feature files (one file a class, subset and modality) into the store."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import features as store
from avgzsl_bench import pickles
from avgzsl_bench.clips import SUBSETS, ClassInfo, FeatureSet
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import MODALITIES, ROLES_IN, Manifest
from avgzsl_bench.importers import NOTHING, Report, hdf5, pickled, up_to_date, write
from avgzsl_bench.importers.class_files import ClassFile, Reader
from avgzsl_bench.importers.sources import Folder, Zip, open_source
from avgzsl_bench.importers.writing import Incoming, Sequences

SYNTHETIC = "SYNTHETIC.json"  # the file that marks a synthetic copy of this layout
FOLDERS = {
    "train": "stage_1_train",
    "validation_seen": "stage_1_val_seen",
    "validation_unseen": "stage_1_val_unseen",
    "test_seen": "stage_2_test_seen",
    "test_unseen": "stage_2_test_unseen",
}
UNION = "stage_2_train"  # the first three again; checked, not stored
FPS = 25.0  # frames a second that the authors count token times at
READERS: Mapping[str, Reader] = {"h5": hdf5, "pkl": pickled}


class ClipIds(NamedTuple):
    """How a data set names its clips."""

    pattern: str  # of a whole id; its group is the source video
    synthetic: str  # of {name} and {class_id} of the class, its {video} and the {part} of that, both counted from 1
    videos: int  # that the clips of one class come from, at most

    def source_video(self, clip_id: str) -> str:
        """The video that a clip was cut from; the clip itself where the id is none of these."""
        found = re.fullmatch(self.pattern, clip_id)
        return found[1] if found else clip_id


class Layout(NamedTuple):
    """What the authors' files of one (data set, features, split, temporal or not) are called and must hold."""

    dataset: str
    revision: str
    folder: str  # the data set's own folder, such as "UCF"
    kind: str  # the short name of the features
    bases: tuple[str, ...]  # folders below the data set's that hold them; the first that is there counts
    suffix: Literal["h5", "pkl"]
    features: str
    split: str
    temporal: bool
    widths: FeatureSet
    classes: tuple[ClassInfo, ...]
    counts: Mapping[str, Mapping[int, int]]  # subset -> class id -> clips, where known
    trained: Mapping[int, int]  # class id -> clips of test_seen whose source video is known to stand in training
    clip_ids: ClipIds
    fold_case: bool  # whether the authors compare class names lower-cased
    word2vec: bool  # whether the word vectors beside them are word2vec's
    alike: Mapping[int, str] = {}  # width of audio -> what features of it in a folder of the same name are

    @property
    def base(self) -> str:
        """The folder of the features below the data set's."""
        return self.bases[0]

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
    patterns = [f"{{base}}/*/*/*.{layout.suffix}", "{base}/text/*.npy", f"class-split/{layout.split}_split/*.txt", SYNTHETIC]
    source = open_source(path, layout.folder, layout.bases, patterns)
    layout = layout._replace(bases=(source.base,))
    folder = store.store_folder(root, layout.dataset, layout.features, layout.split, layout.temporal)
    header = _header(layout)
    if (old := up_to_date(folder, header, source.stamps())) is not None:
        return Report(NOTHING, old)
    _check_class_lists(layout, source)
    texts = [name for name in source.names if name.startswith(f"{layout.base}/text/")]
    vectors = _word_vectors(layout, source, texts)
    left_out: set[str] = set()
    incoming = {name: _scan(layout, source, name, left_out) for name in SUBSETS}
    _check_union(layout, source, incoming, left_out)
    short = _short(layout, incoming)
    update = {"synthetic": SYNTHETIC in source.names, "partial": bool(short), "left_out": sorted(left_out)}
    report = write(folder, header.model_copy(update={**update, "sources": source.sources()}), incoming)
    if vectors:
        store.store_word_vectors(layout.dataset, vectors)
    return report._replace(short=short, texts=[] if layout.word2vec else texts)


def _header(layout: Layout) -> Manifest:
    return Manifest(
        dataset=layout.dataset,
        revision=layout.revision,
        features=layout.features,
        split=layout.split,
        temporal=layout.temporal,
        audio=layout.widths.audio,
        video=layout.widths.video,
        classes=list(layout.classes),
    )


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


def _word_vectors(layout: Layout, source: Folder | Zip, texts: list[str]) -> Mapping[str, NDArray[np.float32]]:
    found = [name for name in texts if PurePosixPath(name).name.startswith("word_embeddings_") and layout.word2vec]
    return store.word_vectors_of(pickles.read_array(source.read(found[0]), found[0]), found[0]) if found else {}


def _scan(layout: Layout, source: Folder | Zip, subset: str, left_out: set[str]) -> Incoming:
    """Join the audio and video of one subset by clip id, keeping no rows."""
    ids: list[str] = []
    label: list[int] = []
    found: list[dict[str, tuple[str, ClassFile, NDArray[np.int64]]]] = []  # by modality: path, clips, and their order
    for class_id, paths in sorted(_class_files(layout, source, subset, left_out).items()):
        audio, video = (_scan_file(layout, source, paths[modality], modality) for modality in MODALITIES)
        order = _rows_of(audio.ids, video.ids, paths)
        found.append({"audio": (paths["audio"], audio, np.arange(len(order))), "video": (paths["video"], video, order)})
        ids += audio.ids
        label += [class_id] * len(audio.ids)

    def blocks(modality: str) -> Iterator[NDArray[Any]]:
        for piece in found:
            path, _, order = piece[modality]
            yield READERS[layout.suffix].rows(source, path, order)

    known = layout.counts[subset]
    wanted = [i for i, info in enumerate(layout.classes) if info.role in ROLES_IN[subset]]
    expected = sum(known[i] for i in wanted) if all(i in known for i in wanted) else None
    sequences = {modality: _sequences([piece[modality] for piece in found]) for modality in MODALITIES}
    return Incoming(ids, label, blocks, expected, sequences if layout.temporal else {})


def _scan_file(layout: Layout, source: Folder | Zip, path: str, modality: str) -> ClassFile:
    file = READERS[layout.suffix].scan(source, path)
    if file.dim != (dim := getattr(layout.widths, modality)):
        hint = f"these are {layout.alike[file.dim]}" if file.dim in layout.alike else "check --features and get it again"
        raise AvgzslError(f"{path} holds clips of width {file.dim}, not {dim}; {hint}")
    if not layout.temporal and max(file.length) > 1:
        raise AvgzslError(f"{path} holds sequences where {layout.kind} features have one vector a clip; check --features")
    if layout.temporal and (odd := sorted(file.fps - {FPS})):
        raise AvgzslError(
            f"{path} holds clips of {odd[0]:g} frames a second; token times are counted at {FPS:g}: extract them so"
        )
    return file


def _sequences(found: list[tuple[str, ClassFile, NDArray[np.int64]]]) -> Sequences:
    length = [file.length[i] for _, file, order in found for i in order]
    kinds = {file.kind for _, file, _ in found}
    return Sequences(length, kinds.pop() if len(kinds) == 1 else np.dtype(np.float32))


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
                raise AvgzslError(f"the file {folder}/{info.name}.{layout.suffix} is missing; get the features again")
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


def _check_union(layout: Layout, source: Folder | Zip, incoming: Mapping[str, Incoming], left_out: set[str]) -> None:
    """The authors' stage_2_train, where there is one, holds the clips of the first three subsets and no other."""
    folder = f"{layout.base}/audio/{UNION}/"
    listed: set[str] = set()
    for path in (name for name in source.names if name.startswith(folder)):
        if layout.classes[layout.class_id(PurePosixPath(path).stem, path)].name not in left_out:
            listed.update(_scan_file(layout, source, path, "audio").ids)
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

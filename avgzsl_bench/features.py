"""The on-disk feature store: one memory-mapped .npy per subset and modality, and a manifest that vouches for them."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from avgzsl_bench import files
from avgzsl_bench.clips import SUBSETS, ClassInfo, Clips, FeatureSet, Role, Splits
from avgzsl_bench.errors import AvgzslError

MODALITIES = ("audio", "video")
ROLES_IN: Mapping[str, tuple[Role, ...]] = {
    "train": ("train",),
    "validation_seen": ("train",),
    "validation_unseen": ("validation_unseen",),
    "test_seen": ("train", "validation_unseen"),
    "test_unseen": ("test_unseen",),
}
"""The roles whose classes have clips in each subset: every one of them, and no other class."""
_ROWS = 4096  # rows hashed and checked at a time


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Entry):
    """A file that features were read from, and what tells whether it has changed since."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


class Subset(_Entry):
    """What the store holds of one subset. `expected`: clips of the published data, where they are known."""

    clips: int
    expected: int | None
    sha256: str
    ids: list[str]
    stored: dict[str, tuple[int, int]]  # file name -> (size, mtime_ns) as written


class Manifest(_Entry):
    """Everything about one stored (data set, features, split) but the numbers themselves."""

    format: Literal[1] = 1
    dataset: str
    revision: str
    features: str
    split: str
    audio: int
    video: int
    own: bool = False  # a table of the user's own, known from this manifest only
    synthetic: bool = False
    partial: bool = False
    classes: list[ClassInfo]
    left_out: list[str] = []  # classes (or clips, of a table) that the source has and the split has not
    sources: list[Source] = []
    content_sha256: str = ""
    subsets: dict[str, Subset] = {}


class Incoming(NamedTuple):
    """Clips of one subset on their way into the store, in the order of their source."""

    ids: list[str]
    label: list[int]
    blocks: Callable[[str], Iterator[NDArray[Any]]]  # rows of "audio" or "video" in the order of `ids`, piece by piece
    expected: int | None = None


def store_folder(store: Path, dataset: str, features: str, split: str) -> Path:
    """Where the store keeps one (data set, features, split)."""
    return store / f"{dataset}-{features}-{split}"


def manifests(store: Path) -> Iterator[Path]:
    """The folders of a store that hold features, sorted."""
    yield from sorted(path.parent for path in store.glob("[!.]*/manifest.json"))


def read_manifest(folder: Path) -> Manifest:
    """Raises AvgzslError when there is none, or none of ours."""
    try:
        return Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    except OSError as error:
        raise AvgzslError(f"{folder} holds no features; `avgzsl data list` shows what is imported") from error
    except ValidationError as error:
        raise AvgzslError(f"{folder / 'manifest.json'} is damaged; delete the folder and import again") from error


def open_splits(folder: Path, classes: tuple[ClassInfo, ...], widths: FeatureSet, missing: str) -> Splits:
    """Open stored features without reading them; `missing` is the error's line when they are not there.

    Each subset is mapped when it is asked for, so that nothing touches the test files before the test set is unsealed.
    """
    if not (folder / "manifest.json").is_file():
        raise AvgzslError(missing)
    manifest = read_manifest(folder)
    if [tuple(info) for info in manifest.classes] != [tuple(info) for info in classes]:
        raise AvgzslError(f"{folder} was imported with another class list; import it again")
    for subset in manifest.subsets.values():
        for name, (size, _) in subset.stored.items():
            if not (folder / name).is_file() or (folder / name).stat().st_size != size:
                raise AvgzslError(f"{folder / name} is missing or has another size than when it was imported; import it again")
    return Splits(
        classes=classes,
        features=widths,
        content_sha256=manifest.content_sha256,
        read=partial(_read, folder, manifest),
        partial=manifest.partial,
        synthetic=manifest.synthetic,
    )


def _read(folder: Path, manifest: Manifest, name: str) -> Clips:
    subset = manifest.subsets[name]
    clips = _map(folder, name, subset.ids)
    same = all((folder / file).stat().st_mtime_ns == time for file, (_, time) in subset.stored.items())
    if not same and subset_sha256(clips) != subset.sha256:
        raise AvgzslError(f"the {name} clips in {folder} are not the ones that were imported; import them again")
    return clips


def _map(folder: Path, name: str, ids: list[str]) -> Clips:
    try:
        audio, video, label = (np.load(folder / f"{name}.{part}.npy", mmap_mode="c") for part in (*MODALITIES, "label"))
    except (OSError, ValueError) as error:
        raise AvgzslError(f"the {name} clips in {folder} cannot be read ({error}); import them again") from error
    return Clips(audio, video, label, tuple(ids))


def subset_sha256(clips: Clips) -> str:
    """Hash of one subset's clip ids, class ids and array bytes: equal wherever the same clips were imported."""
    digest = hashlib.sha256("\n".join(clips.ids).encode())
    for array, kind in ((clips.label, "<i8"), (clips.audio, "<f4"), (clips.video, "<f4")):
        digest.update(repr(array.shape).encode())
        for start in range(0, len(array), _ROWS):
            digest.update(np.ascontiguousarray(array[start : start + _ROWS], dtype=kind).data)
    return digest.hexdigest()


def content_sha256(subsets: Mapping[str, str]) -> str:
    """Hash of a whole split from the hashes of its subsets, in their fixed order."""
    return hashlib.sha256("".join(f"{name} {subsets[name]}\n" for name in SUBSETS).encode()).hexdigest()


def verify(folder: Path) -> list[str]:
    """Read everything again and compare with the manifest; returns the problems found, one line each."""
    manifest = read_manifest(folder)
    found: dict[str, str] = {}
    problems = []
    for name, subset in manifest.subsets.items():
        try:
            clips = _map(folder, name, subset.ids)
        except AvgzslError as error:
            problems.append(str(error))
            continue
        found[name] = subset_sha256(clips)
        if found[name] != subset.sha256:
            problems.append(f"the {name} clips in {folder} are not the ones that were imported; import them again")
    if not problems and content_sha256(found) != manifest.content_sha256:
        problems.append(f"the manifest in {folder} contradicts itself; import it again")
    return problems


def write_store(folder: Path, manifest: Manifest, incoming: Mapping[str, Incoming]) -> Manifest:
    """Write one store, whole or not at all; the manifest is completed with hashes and clip ids, and returned.

    Raises AvgzslError for clips standing twice, classes with too few clips or none, more or fewer rows than clips, values
    that are not finite, and a disk that refuses.
    """
    check_clips(manifest.classes, incoming)
    with files.whole_folder(folder) as temporary:
        subsets = {name: _write_subset(temporary, manifest, name, incoming[name]) for name in SUBSETS}
        content = content_sha256({name: subset.sha256 for name, subset in subsets.items()})
        complete = manifest.model_copy(update={"subsets": subsets, "content_sha256": content})
        files.write_whole(temporary / "manifest.json", complete.model_dump_json(indent=1))
    return complete


def _write_subset(folder: Path, manifest: Manifest, name: str, incoming: Incoming) -> Subset:
    order = sorted(range(len(incoming.ids)), key=incoming.ids.__getitem__)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    for modality, dim in (("audio", manifest.audio), ("video", manifest.video)):
        _write_rows(folder / f"{name}.{modality}.npy", (len(order), dim), place, incoming.blocks(modality), incoming.ids)
    np.save(folder / f"{name}.label.npy", np.array(incoming.label, np.int64)[order])
    ids = [incoming.ids[i] for i in order]
    stored = {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.glob(f"{name}.*.npy"))}
    sha256 = subset_sha256(_map(folder, name, ids))
    return Subset(clips=len(ids), expected=incoming.expected, sha256=sha256, ids=ids, stored=stored)


def _write_rows(
    path: Path, shape: tuple[int, int], place: NDArray[np.int64], blocks: Iterator[NDArray[Any]], ids: list[str]
) -> None:
    out = np.lib.format.open_memmap(path, "w+", np.float32, shape)  # (clips, dim)
    _claim(path)
    row = 0
    for block in blocks:
        rows = slice(row, row + len(block))
        if rows.stop > len(ids):
            raise _miscounted(path, f"more than {len(ids)}", ids)
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is then named
            out[place[rows]] = block
        bad = ~np.isfinite(out[place[rows]]).all(axis=1)
        if bad.any():
            clip = ids[row + int(bad.argmax())]
            raise AvgzslError(f"{path.stem}: clip {clip!r} holds NaN or infinite values; extract it again or leave it out")
        row = rows.stop
    if row < len(ids):
        raise _miscounted(path, str(row), ids)
    out.flush()


def _miscounted(path: Path, found: str, ids: list[str]) -> AvgzslError:
    return AvgzslError(f"{path.stem}: the source gives {found} rows for {len(ids)} clips; give one row a clip and import again")


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
        for clip in incoming[name].ids:
            if clip in where:
                twice = f"twice in {name}" if where[clip] == name else f"in both {where[clip]} and {name}"
                raise AvgzslError(f"clip {clip!r} stands {twice}; keep it in one place")
            where[clip] = name
        present = set(incoming[name].label)
        for i, info in enumerate(classes):
            if (info.role in ROLES_IN[name]) != (i in present):
                verb = "no clip of" if i not in present else "clips of"
                raise AvgzslError(
                    f"{name} has {verb} {info.name!r}, a class with the role {info.role}; mend the split or the files"
                )


def word_vectors_file(dataset: str) -> Path:
    """Where the word vectors that came with a data set are kept."""
    return files.data_root() / "word2vec" / f"{dataset}.npz"


def read_word_vectors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The authors' pickled {name: vector} file, read without running anything in it; vectors are (dim,).

    Raises AvgzslError for a file that is something else, or that asks for more than arrays and containers.
    """
    from avgzsl_bench import pickles

    return word_vectors_of(pickles.read_array(path.read_bytes(), path.name), path.name)


def word_vectors_of(value: Any, name: str) -> dict[str, NDArray[np.float32]]:
    """Check that a value is {name: vector} with vectors of one width, and give it as such."""
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    if not isinstance(value, dict) or not value or not all(isinstance(key, str) for key in value):
        raise AvgzslError(f"{name} holds no table of names and vectors; give the authors' word_embeddings_*_normed.npy")
    try:
        table = {key: np.asarray(vector, dtype=np.float32) for key, vector in value.items()}
    except (TypeError, ValueError) as error:
        raise AvgzslError(f"{name} holds a vector that is no row of numbers ({error}); get the file again") from error
    if len({vector.shape for vector in table.values()}) != 1 or next(iter(table.values())).ndim != 1:
        raise AvgzslError(f"{name} holds vectors of several shapes; get the file again")
    if not all(np.isfinite(vector).all() for vector in table.values()):
        raise AvgzslError(f"{name} holds NaN or infinite values; get the file again")
    return table


def store_word_vectors(dataset: str, table: Mapping[str, NDArray[np.float32]]) -> Path:
    """Keep word vectors as a safe file with the arrays `names` (unicode) and `vectors` (names, dim), names sorted."""
    import io

    names = sorted(table)
    buffer = io.BytesIO()
    np.savez(buffer, names=np.array(names), vectors=np.stack([table[name] for name in names]))
    path = word_vectors_file(dataset)
    files.write_whole(path, buffer.getvalue())
    return path


def check_name(name: str, what: str) -> str:
    """A name that is safe in a path and a record: lower-case letters, digits and underscores."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise AvgzslError(f"{what} {name!r} is no plain name; use lower-case letters, digits and underscores, such as my_clips")
    return name

"""The on-disk feature store: memory-mapped .npy files of each subset and modality, and a manifest that vouches for them."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from avgzsl_bench import files
from avgzsl_bench.clips import SUBSETS, TRAINING, ClassInfo, Clips, FeatureSet, Role, Splits, Tokens
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
    tokens: dict[str, int] = {}  # of each modality, where temporal
    sha256: str
    ids: list[str]
    videos: list[str] | None = None  # the source video of each, where the source of a table says it
    stored: dict[str, tuple[int, int]]  # file name -> (size, mtime_ns) as written

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.videos is not None and len(self.videos) != len(self.ids):
            raise ValueError(f"{len(self.videos)} source videos of {len(self.ids)} clips")
        return self


class Manifest(_Entry):
    """Everything about one stored (data set, features, split, temporal or not) but the numbers themselves."""

    format: Literal[1] = 1
    dataset: str
    revision: str
    features: str
    split: str
    temporal: bool = False
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


def store_folder(store: Path, dataset: str, features: str, split: str, temporal: bool = False) -> Path:
    """Where the store keeps one (data set, features, split), averaged or temporal."""
    return store / f"{dataset}-{features}-{split}{'-temporal' if temporal else ''}"


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
        temporal=manifest.temporal,
        partial=manifest.partial,
        synthetic=manifest.synthetic,
    )


def _read(folder: Path, manifest: Manifest, name: str) -> Clips:
    subset = manifest.subsets[name]
    clips = map_subset(folder, name, subset.ids, manifest.temporal)
    same = all((folder / file).stat().st_mtime_ns == time for file, (_, time) in subset.stored.items())
    if not same and subset_sha256(clips, subset.videos) != subset.sha256:
        raise AvgzslError(f"the {name} clips in {folder} are not the ones that were imported; import them again")
    return clips


def map_subset(folder: Path, name: str, ids: list[str], temporal: bool) -> Clips:
    """The clips of one subset; rows stay on disk until they are used.

    Raises AvgzslError for files that cannot be mapped.
    """
    try:
        audio, video, label = (np.load(folder / f"{name}.{part}.npy", mmap_mode="c") for part in (*MODALITIES, "label"))
        if not temporal:
            return Clips(audio, video, label, tuple(ids))
        ends = {modality: np.load(folder / f"{name}.{modality}.offsets.npy") for modality in MODALITIES}  # (clips + 1,)
    except (OSError, ValueError) as error:
        raise AvgzslError(f"the {name} clips in {folder} cannot be read ({error}); import them again") from error
    return Clips(Tokens.flat(audio, ends["audio"]), Tokens.flat(video, ends["video"]), label, tuple(ids))


def subset_sha256(clips: Clips, videos: Sequence[str] | None = None) -> str:
    """Hash of one subset's clip ids, class ids and array bytes: equal wherever the same clips were imported.

    Of temporal clips it covers the length of each as well, and tokens in the type that they are stored in; of clips whose
    source videos were given, those too.
    """
    digest = hashlib.sha256("\n".join([*clips.ids, *(videos or ())]).encode())
    for array, kind in ((clips.label, "<i8"), (clips.audio, "<f4"), (clips.video, "<f4")):
        for piece in _of_tokens(array) if isinstance(array, Tokens) else _of_rows(array, kind):
            digest.update(piece)
    return digest.hexdigest()


def _of_rows(array: NDArray[Any], kind: str) -> Iterator[bytes | memoryview]:
    yield repr(array.shape).encode()
    for start in range(0, len(array), _ROWS):
        yield np.ascontiguousarray(array[start : start + _ROWS], dtype=kind).data


def _of_tokens(tokens: Tokens) -> Iterator[bytes | memoryview]:
    kind = tokens.parts[0].dtype.newbyteorder("<")
    yield repr((len(tokens), tokens.dim, kind.str)).encode()
    yield tokens.length.astype("<i8").data
    for clip in range(len(tokens)):
        yield np.ascontiguousarray(tokens.clip(clip), dtype=kind).data


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
            clips = map_subset(folder, name, subset.ids, manifest.temporal)
        except AvgzslError as error:
            problems.append(str(error))
            continue
        found[name] = subset_sha256(clips, subset.videos)
        if found[name] != subset.sha256:
            problems.append(f"the {name} clips in {folder} are not the ones that were imported; import them again")
    if not problems and content_sha256(found) != manifest.content_sha256:
        problems.append(f"the manifest in {folder} contradicts itself; import it again")
    return problems


class Overlap(NamedTuple):
    """Test clips of a source video that also stands in training."""

    known: bool  # whether the source videos are: some clip is not a video of its own
    seen: int  # seen test clips
    seen_trained: int  # those of a video that stands in training
    classes: int  # seen classes that still have clips without those
    left_out: tuple[str, ...]  # names of the seen classes that have none
    unseen: int
    unseen_trained: int


def overlap(folder: Path, source_video: Callable[[str], str]) -> Overlap:
    """What the test clips of stored features share with their training clips."""
    manifest = read_manifest(folder)
    videos = {name: [source_video(clip) for clip in subset.ids] for name, subset in manifest.subsets.items()}
    trained = {video for name in TRAINING for video in videos[name]}
    alone = np.array([video not in trained for video in videos["test_seen"]], np.bool_)  # (clips,)
    label = np.load(folder / "test_seen.label.npy")
    kept = set(label[alone].tolist())
    return Overlap(
        known=any(videos[name] != subset.ids for name, subset in manifest.subsets.items()),
        seen=len(alone),
        seen_trained=int((~alone).sum()),
        classes=len(kept),
        left_out=tuple(manifest.classes[i].name for i in sorted(set(label.tolist()) - kept)),
        unseen=len(videos["test_unseen"]),
        unseen_trained=sum(video in trained for video in videos["test_unseen"]),
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

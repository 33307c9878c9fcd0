"""The contract of data sets: clips, their subsets with the test ones sealed, and the classes they belong to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Role = Literal["train", "validation_unseen", "test_unseen", "unused"]
SUBSETS = ("train", "validation_seen", "validation_unseen", "test_seen", "test_unseen")
TRAINING = SUBSETS[:3]
"""What stage 2 trains on."""


class ClassInfo(NamedTuple):
    """A class of a data set; its id is its position in `Dataset.classes`."""

    name: str
    text_name: str
    role: Role


class FeatureSet(NamedTuple):
    """Widths of a feature set, and what is known of its modalities."""

    audio: int
    video: int
    spaces: Mapping[str, str] = {}  # the text space that a modality lives in, where it lives in one
    seconds: Mapping[str, float] = {}  # from one token of a modality to the next; empty: there are averaged features only


@dataclass(frozen=True)
class Tokens:
    """Sequences of one modality, mapped: clip i is the `length[i]` rows of `parts[part[i]]` that begin at `start[i]`.

    Rows are float32, or uint8 for features that were quantised to it. Nothing is read before `clip` is asked for one.
    """

    parts: tuple[NDArray[Any], ...]  # (tokens, dim) each
    part: NDArray[np.int64]  # (clips,)
    start: NDArray[np.int64]  # (clips,)
    length: NDArray[np.int64]  # (clips,)

    @classmethod
    def flat(cls, rows: NDArray[Any], offsets: NDArray[np.int64]) -> "Tokens":
        """Clips that lie after one another in `rows`; clip i ends where clip i + 1 begins, `offsets` (clips + 1,)."""
        return cls((rows,), np.zeros(len(offsets) - 1, np.int64), offsets[:-1], np.diff(offsets))

    @classmethod
    def join(cls, several: "Sequence[Tokens]") -> "Tokens":
        """The clips of all, in order, still where they are."""
        first = np.cumsum([0, *(len(tokens.parts) for tokens in several)])
        part = [tokens.part + before for tokens, before in zip(several, first, strict=False)]
        columns = (np.concatenate([getattr(tokens, name) for tokens in several]) for name in ("start", "length"))
        return cls(tuple(rows for tokens in several for rows in tokens.parts), np.concatenate(part), *columns)

    @property
    def dim(self) -> int:
        """Width of a token."""
        return int(self.parts[0].shape[1])

    def __len__(self) -> int:
        return len(self.length)

    def __getitem__(self, chosen: NDArray[Any]) -> "Tokens":
        """Some clips, by index or mask."""
        return Tokens(self.parts, self.part[chosen], self.start[chosen], self.length[chosen])

    def clip(self, index: int) -> NDArray[Any]:
        """The tokens of one clip, (time, dim)."""
        start = self.start[index]
        rows: NDArray[Any] = self.parts[self.part[index]][start : start + self.length[index]]
        return rows


class Clips(NamedTuple):
    """Clips of one or more subsets, in the canonical order of the store (subset, then clip id)."""

    audio: NDArray[np.float32] | Tokens  # (clips, dim), or the sequences of temporal features
    video: NDArray[np.float32] | Tokens
    label: NDArray[np.int64]  # (clips,) class id
    ids: tuple[str, ...]


def itself(clip_id: str) -> str:
    """The source video of a clip that is a video of its own."""
    return clip_id


@dataclass(frozen=True)
class Splits:
    """The five subsets of a data set under one (features, split), the test ones sealed.

    `read` gives one subset; only this class calls it.
    """

    classes: tuple[ClassInfo, ...]  # every class of the data set, by id
    features: FeatureSet
    content_sha256: str  # of sorted clip ids and array bytes
    read: Callable[[str], Clips] = field(repr=False)
    temporal: bool = False
    partial: bool = False
    synthetic: bool = False
    source_video: Callable[[str], str] = field(default=itself, repr=False)  # as the data set says it

    def role_ids(self, *roles: Role) -> list[int]:
        """Ascending ids of the classes with one of these roles."""
        return [i for i, info in enumerate(self.classes) if info.role in roles]

    def load(self, *subsets: str) -> Clips:
        """Clips of training or validation subsets, joined in the order given."""
        sealed = [name for name in subsets if name.startswith("test")]
        if sealed:
            raise AssertionError(f"{sealed} are sealed: only unseal() opens the test set")
        return self._join(subsets)

    def unseal(self, selection: Path) -> Clips:
        """The test clips (seen, then unseen), opened only from a selection that is already on disk."""
        if not selection.is_file():
            raise AssertionError(f"the test set stays sealed until {selection} is written")
        return self._join(("test_seen", "test_unseen"))

    def sources(self, test: Clips) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Of unsealed test clips: the number of each one's source video, and whether it stands in training: (clips,) each."""
        trained = {self.source_video(clip) for name in TRAINING for clip in self.read(name).ids}
        names = [self.source_video(clip) for clip in test.ids]
        number = {name: i for i, name in enumerate(dict.fromkeys(names))}
        return np.array([number[name] for name in names], np.int32), np.array([name in trained for name in names], np.bool_)

    def _join(self, subsets: Sequence[str]) -> Clips:
        parts = [self.read(name) for name in subsets]
        return Clips(
            _joined([part.audio for part in parts]),
            _joined([part.video for part in parts]),
            np.concatenate([part.label for part in parts]),
            tuple(clip for part in parts for clip in part.ids),
        )


def _joined(parts: Sequence[Any]) -> Any:
    return Tokens.join(parts) if isinstance(parts[0], Tokens) else np.concatenate(parts)


class Dataset:
    """A data set: facts about it, and a way to open its features."""

    name: ClassVar[str]
    revision: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    synthetic: ClassVar[bool] = False
    encoder: ClassVar[str] = "clip"  # the text encoder when none is named
    features: ClassVar[Mapping[str, FeatureSet]]
    splits: ClassVar[tuple[str, ...]]
    presets: ClassVar[Mapping[str, tuple[str, str]]]  # short form of --features -> (features, split); the first is the default

    def classes(self, split: str) -> tuple[ClassInfo, ...]:
        """Every class by id, with its role in this split."""
        raise NotImplementedError

    def source_video(self, clip_id: str) -> str:
        """The video that a clip was cut from, by a name that no other has; by default each clip is a video of its own."""
        return clip_id

    def open(self, store: Path, features: str, split: str, temporal: bool = False) -> Splits:
        """Averaged features, or the sequences that they are the averages of (asked for where `seconds` are declared).

        Raises AvgzslError naming the import command when the features are not in the store.
        """
        raise NotImplementedError

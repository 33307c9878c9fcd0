"""The contract of data sets: clips, their subsets with the test ones sealed, and the classes they belong to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Role = Literal["train", "validation_unseen", "test_unseen", "unused"]
SUBSETS = ("train", "validation_seen", "validation_unseen", "test_seen", "test_unseen")


class ClassInfo(NamedTuple):
    """A class of a data set; its id is its position in `Dataset.classes`."""

    name: str
    text_name: str
    role: Role


class FeatureSet(NamedTuple):
    """Widths of a feature set, and the text space that a modality lives in, where it lives in one."""

    audio: int
    video: int
    temporal: bool = False
    spaces: Mapping[str, str] = {}


class Clips(NamedTuple):
    """Clips of one or more subsets, in the canonical order of the store (subset, then clip id)."""

    audio: NDArray[np.float32]  # (clips, dim)
    video: NDArray[np.float32]  # (clips, dim)
    label: NDArray[np.int64]  # (clips,) class id
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """The five subsets of a data set under one (features, split), the test ones sealed.

    `read` gives one subset; only this class calls it.
    """

    classes: tuple[ClassInfo, ...]  # every class of the data set, by id
    features: FeatureSet
    content_sha256: str  # of sorted clip ids and array bytes
    read: Callable[[str], Clips] = field(repr=False)
    partial: bool = False
    synthetic: bool = False

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

    def _join(self, subsets: Sequence[str]) -> Clips:
        parts = [self.read(name) for name in subsets]
        return Clips(
            np.concatenate([part.audio for part in parts]),
            np.concatenate([part.video for part in parts]),
            np.concatenate([part.label for part in parts]),
            tuple(clip for part in parts for clip in part.ids),
        )


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

    def open(self, store: Path, features: str, split: str) -> Splits:
        """Raises AvgzslError naming the import command when the features are not in the store."""
        raise NotImplementedError

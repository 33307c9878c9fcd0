"""What every reader of the authors' class files gives: the clips of one class, subset and modality."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.importers.sources import Folder, Zip


class ClassFile(NamedTuple):
    """A class file without its rows."""

    ids: list[str]
    length: list[int]  # rows of each clip
    dim: int
    kind: np.dtype[Any]
    fps: frozenset[float] = frozenset()  # frames a second that it states


class Reader(Protocol):
    """A module that reads one format. Both raise AvgzslError for a file that is something else."""

    def scan(self, source: Folder | Zip, path: str) -> ClassFile:
        """The clips of a file, whose rows are all of one width."""

    def rows(self, source: Folder | Zip, path: str, order: NDArray[np.int64]) -> NDArray[Any]:
        """The rows of its clips in the order given, one after another: (rows, dim)."""


def clip_names(path: str, raw: Sequence[object], clips: int) -> list[str]:
    """The ids of the clips of a file.

    Raises AvgzslError for none, for another number of them than of clips, and for ids that cannot be shown.
    """
    ids = [clip.decode() if isinstance(clip, bytes) else str(clip) for clip in raw]
    if len(ids) != clips or not ids:
        raise AvgzslError(f"{path} holds {clips} rows for {len(ids)} clip ids; get the file again")
    if odd := [clip for clip in ids if not clip or not clip.isprintable()]:
        raise AvgzslError(f"{path} holds {odd[0]!r} for a clip id; get the file again")
    return ids

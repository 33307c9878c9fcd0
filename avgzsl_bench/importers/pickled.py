"""Reading class files of sequences: a pickled dict of `features` (an array a clip), `video_names` and, if wished, `fps`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import pickles
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.importers.class_files import ClassFile, clip_names
from avgzsl_bench.importers.sources import Folder, Zip


def scan(source: Folder | Zip, path: str) -> ClassFile:
    """The clips of a file, which is read whole: nothing in a pickle says how long its arrays are."""
    value = _table(source, path)
    clips = _clips(path, value["features"])
    ids = clip_names(path, list(value["video_names"]), len(clips))
    if empty := [clip for clip, tokens in zip(ids, clips, strict=True) if not tokens.size]:
        raise AvgzslError(f"{path}: clip {empty[0]!r} has no tokens; extract it again or leave it out")
    odd = [i for i, tokens in enumerate(clips) if tokens.ndim != 2 or tokens.shape[1] != clips[0].shape[1]]
    if odd:
        shapes = f"{clips[odd[0]].shape}, clip {ids[0]!r} {clips[0].shape}"
        raise AvgzslError(f"{path}: clip {ids[odd[0]]!r} has shape {shapes}; all must be (tokens, dim), get the file again")
    kind = np.uint8 if all(tokens.dtype == np.uint8 for tokens in clips) else np.float32
    return ClassFile(ids, [len(tokens) for tokens in clips], clips[0].shape[1], np.dtype(kind), _fps(path, value))


def rows(source: Folder | Zip, path: str, order: NDArray[np.int64]) -> NDArray[Any]:
    """The tokens of each clip, in the order given, one after another: (tokens, dim)."""
    clips = _clips(path, _table(source, path)["features"])
    return np.concatenate([clips[i] for i in order])


def _table(source: Folder | Zip, path: str) -> dict[str, Any]:
    value = pickles.load(source.read(path), path)
    lists = [value.get(name) for name in ("features", "video_names")] if isinstance(value, dict) else [None]
    if not all(isinstance(found, list | tuple | np.ndarray) for found in lists):
        raise AvgzslError(f"{path} holds no dict with the lists features and video_names; get the file again")
    return dict(value)


def _clips(path: str, features: Any) -> list[NDArray[Any]]:
    """An array a clip; a clip of a single vector is a sequence of one."""
    try:
        clips = [np.atleast_2d(np.asarray(entry)) for entry in features]
    except ValueError as error:
        raise AvgzslError(f"{path} holds a clip that is no array ({error}); get the file again") from error
    if any(tokens.dtype.kind not in "fiu" for tokens in clips):
        raise AvgzslError(f"{path} holds a clip that is no array of numbers; get the file again")
    return clips


def _fps(path: str, value: dict[str, Any]) -> frozenset[float]:
    try:
        return frozenset(np.unique(np.asarray(value.get("fps", ()), np.float64)).tolist())
    except (TypeError, ValueError) as error:
        raise AvgzslError(f"{path} holds an fps that is no number ({error}); get the file again") from error

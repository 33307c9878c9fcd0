"""Reading class files of averaged features: HDF5 with the tables `data` and `video_urls`."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.importers.class_files import ClassFile, clip_names
from avgzsl_bench.importers.sources import Folder, Zip


def scan(source: Folder | Zip, path: str) -> ClassFile:
    """The clips of a file, reading names and shapes only."""
    with _opened(source, path) as tables:
        shape, kind = tables["data"].shape, tables["data"].dtype
        raw = tables["video_urls"][()]
    if len(shape) != 2 or kind.kind != "f":
        raise AvgzslError(f"{path} holds data of shape {shape} and type {kind}, not (clips, dim) of floats; get the file again")
    return ClassFile(clip_names(path, raw, shape[0]), [1] * shape[0], shape[1], np.dtype(np.float32))


def rows(source: Folder | Zip, path: str, order: NDArray[np.int64]) -> NDArray[Any]:
    """The row of each clip, in the order given: (clips, dim)."""
    with _opened(source, path) as tables:
        return np.asarray(tables["data"][()])[order]


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

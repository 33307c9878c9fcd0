"""Reading pickles of strangers: numpy arrays and plain containers are built, everything else is refused by name."""

import _codecs
import io
import pickle
from typing import Any, Final

import numpy as np
from numpy._core import multiarray, numeric

from avgzsl_bench.errors import AvgzslError

_ARRAYS: Final[dict[tuple[str, str], Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("multiarray", "_reconstruct"): multiarray._reconstruct,
    ("multiarray", "scalar"): multiarray.scalar,
    ("numeric", "_frombuffer"): numeric._frombuffer,  # type: ignore[attr-defined]
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("_codecs", "encode"): _codecs.encode,  # how Python 3 writes bytes in the old protocols
}


class _RefusedError(Exception):
    pass


class _Restricted(pickle.Unpickler):
    """Looks nothing up but the few names that arrays are made of."""

    def find_class(self, module: str, name: str) -> Any:
        short = module.removeprefix("numpy.core.").removeprefix("numpy._core.").replace("__builtin__", "builtins")
        try:
            return _ARRAYS[short, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


def load(raw: bytes, name: str) -> Any:
    """What a pickle holds; `name` is the file in the error.

    Raises AvgzslError for a damaged pickle, and for one that asks for anything but numpy arrays and plain containers.
    """
    try:
        return _Restricted(io.BytesIO(raw)).load()
    except _RefusedError as error:
        line = f"{name} is refused: its pickle asks for {error}, and only numpy arrays and plain containers are read"
        raise AvgzslError(f"{line}; get the file from its authors again") from None
    except Exception as error:  # a pickle from a stranger may raise anything
        raise AvgzslError(f"{name} is no readable pickle ({type(error).__name__}: {error}); get the file again") from error


def read_array(raw: bytes, name: str) -> Any:
    """What an .npy file (also one of Python objects) or a bare pickle holds.

    Raises AvgzslError as `load` does.
    """
    if not raw.startswith(np.lib.format.MAGIC_PREFIX):
        return load(raw, name)
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, kind = header(stream)
        if not kind.hasobject:
            return np.load(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise AvgzslError(f"{name} is no readable .npy file ({error}); get the file again") from error
    return load(raw[stream.tell() :], name)

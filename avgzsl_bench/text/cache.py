"""The cache of encoded texts: a vector is encoded once, and a hit loads no model."""

import hashlib
import json
import logging
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import cache_root, write_whole

log = logging.getLogger(__name__)

PLACES = frozenset({"path", "dataset"})  # settings that say where weights lie; the revision says what they are


def encoded(name: str, encoder: TextEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors (texts, dim) of distinct texts, from the cache or encoded now and kept."""
    path = cache_root() / "text" / f"{key(name, encoder, texts)}.safetensors"
    vectors = _read(path, len(texts))
    if vectors is None:
        log.info("encoding %d texts with %s", len(texts), name)
        vectors = _checked(name, encoder.encode(list(texts)), texts)
        _write(path, vectors)
    return vectors


def key(name: str, encoder: TextEncoder, texts: Sequence[str]) -> str:
    """Hash of everything that decides the vectors: texts, encoder, revision, settings, libraries and type of device."""
    content: dict[str, Any] = {"encoder": name, "revision": encoder.revision, "texts": list(texts)}
    content["device"] = encoder.device.partition(":")[0]
    content["libraries"] = {library: _version(library) for library in ("torch", *encoder.libraries)}
    content["settings"] = encoder.settings.model_dump(mode="json", exclude=set(PLACES))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _checked(name: str, vectors: NDArray[np.float32], texts: Sequence[str]) -> NDArray[np.float32]:
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise AvgzslError(f"encoder {name!r} returned shape {vectors.shape} for {len(texts)} texts; it must return (texts, dim)")
    if not np.isfinite(vectors).all():
        text = texts[int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])]
        raise AvgzslError(f"encoder {name!r} gives {text!r} a vector that is not finite; fetch its weights anew")
    return vectors


def _read(path: Path, texts: int) -> NDArray[np.float32] | None:
    if not path.is_file():
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        held = load(path.read_bytes())
        vectors: NDArray[np.float32] = held["vectors"]
        if len(vectors) == texts and _digest(vectors).tobytes() == held["sha256"].tobytes():
            return vectors
    except (SafetensorError, KeyError, OSError):
        pass
    log.warning("cached text vectors %s are damaged and are encoded again", path)
    return None


def _write(path: Path, vectors: NDArray[np.float32]) -> None:
    from safetensors.numpy import save

    write_whole(path, save({"vectors": vectors, "sha256": _digest(vectors)}))


def _digest(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.sha256(vectors.tobytes()).digest(), dtype=np.uint8)

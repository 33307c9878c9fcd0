"""The cache of encoded texts: each text is encoded once by an encoder, and a hit loads no model.

A folder holds what one encoder made with one revision, one choice of settings and one version of its libraries; every file in
it is the texts of one call and their vectors.
"""

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

# Settings that say where weights lie (the revision says what they are) and how encoding is carried out. Two devices or batch
# sizes differ in the last bits; the first to encode serves all, and a run's environment holds the hash of its vectors.
CIRCUMSTANCES = frozenset({"path", "dataset", "device", "batch_size", "timeout"})


def encoded(name: str, encoder: TextEncoder, texts: Sequence[str], remote: bool = False) -> NDArray[np.float32]:
    """Vectors (texts, dim) of distinct texts, from the cache or encoded now and kept.

    Raises AvgzslError where encoding would open a socket and `remote` does not allow it.
    """
    folder = _root() / key(name, encoder)
    held = _held(folder, texts)
    missing = [text for text in texts if text not in held]
    if missing:
        if encoder.remote and not remote:
            raise AvgzslError(
                f"encoder {name} asks a server, which a run never does, and these texts are not encoded yet; "
                f"`avgzsl text encode DATASET --encoder {name}` encodes them, with the same --text and --set encoder.…"
            )
        _revision(encoder)  # says which command gets weights that a remembered revision stood in for
        log.info("encoding %d texts with %s", len(missing), name)
        vectors = _checked(name, encoder.encode(missing), missing)
        _write(folder / f"{_hash(missing)}.safetensors", missing, vectors)
        remember(name, encoder)
        held.update(zip(missing, vectors, strict=True))
    return np.stack([held[text] for text in texts])


def holds(name: str, encoder: TextEncoder, texts: Sequence[str]) -> bool:
    """Whether `encoded` would encode nothing. Errors as `revision`."""
    return not set(texts) - _held(_root() / key(name, encoder), texts).keys()


def remember(name: str, encoder: TextEncoder) -> None:
    """Keep the revision for when the weights are gone; once they are, it was kept before."""
    try:
        own = _revision(encoder)
    except AvgzslError:
        return
    write_whole(_remembered(name, encoder), own)


def revision(name: str, encoder: TextEncoder) -> str:
    """An encoder's revision; without its weights, that of the vectors encoded last with these settings.

    So vectors that were encoded ahead serve a machine that has no weights. Raises AvgzslError where there is neither.
    """
    try:
        return _revision(encoder)
    except AvgzslError:
        remembered = _remembered(name, encoder)
        if not remembered.is_file():
            raise
        found = remembered.read_text(encoding="utf-8")
        log.info("the weights of %s are not here; vectors encoded earlier, by revision %s, stand in", name, found[:16])
        return found


def _revision(encoder: TextEncoder) -> str:
    return encoder.revision + (f" code {encoder.version}" if encoder.version > 1 else "")


def key(name: str, encoder: TextEncoder) -> str:
    """Hash of everything that decides the vector of a text: encoder, revision, settings and libraries."""
    content: dict[str, Any] = {"revision": revision(name, encoder), **_kind(name, encoder)}
    content["libraries"] = {library: _version(library) for library in (*_torch(encoder), *encoder.libraries)}
    return _hash(content)


def _kind(name: str, encoder: TextEncoder) -> dict[str, Any]:
    kind = f"{type(encoder).__module__}:{type(encoder).__qualname__}"  # two strangers' encoders may share a name
    return {"encoder": name, "class": kind, "settings": encoder.settings.model_dump(mode="json", exclude=set(CIRCUMSTANCES))}


def _torch(encoder: TextEncoder) -> tuple[str, ...]:
    return () if encoder.remote else ("torch",)


def _remembered(name: str, encoder: TextEncoder) -> Path:
    where = {key: getattr(encoder.settings, key, "") for key in ("dataset", "path")}
    own = {"where": where, **_kind(name, encoder)}
    return _root() / f"{_hash(own)}.revision"


def _root() -> Path:
    return cache_root() / "text"


def _hash(content: dict[str, Any] | list[str]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def lacking(encoder: TextEncoder) -> str:
    """Which library an encoder needs that is not installed, and how to get it; empty when all are here."""
    absent = [library for library in encoder.libraries if not _version(library)]
    source = f"'avgzsl-bench[{encoder.extra}]'" if encoder.extra else "".join(absent[:1])
    return f"{absent[0]} is not installed; `pip install {source}` brings it" if absent else ""


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


def _held(folder: Path, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Those of the texts that the files of a folder hold, with their vectors (dim,)."""
    wanted = set(texts)
    held: dict[str, NDArray[np.float32]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if len(held) == len(wanted):
            break
        held.update({text: vector for text, vector in _read(path) if text in wanted})
    return held


def _read(path: Path) -> list[tuple[str, NDArray[np.float32]]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        held = load(path.read_bytes())
        if _digest(held["texts"], held["vectors"]).tobytes() == held["sha256"].tobytes():
            return list(zip(json.loads(held["texts"].tobytes()), held["vectors"], strict=True))
    except (SafetensorError, KeyError, OSError):
        pass
    log.warning("cached text vectors %s are damaged and are encoded again", path)
    return []


def _write(path: Path, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
    from safetensors.numpy import save

    raw = np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8)
    write_whole(path, save({"texts": raw, "vectors": vectors, "sha256": _digest(raw, vectors)}))


def _digest(*arrays: NDArray[Any]) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest(), dtype=np.uint8)

"""Weights and scores that came from elsewhere, read without running anything in them, and checked before they are used."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as from_safetensors
from torch import Tensor

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import sha256

PARTS = ("test", "validation")


class Weights(NamedTuple):
    """A checkpoint: ours is a .safetensors, the authors' one of torch.save."""

    path: Path
    state: dict[str, Tensor]
    epoch: int | None  # completed epochs, where the file says so
    sha256: str
    ours: bool
    method: str | None = None  # where the file says so


class Scored(NamedTuple):
    """Scores of one exam with the clip of each row and the class of each column."""

    values: Tensor  # (clips, classes), higher is better
    clips: tuple[str, ...]
    classes: tuple[str, ...]


def read_weights(path: Path) -> Weights:
    """A checkpoint of `avgzsl run` (.safetensors) or of a reference repository (.pt).

    Raises AvgzslError for a file that is missing or damaged, that holds code, no weights, or values that are not finite.
    """
    ours = path.suffix == ".safetensors"
    content: Any = _safetensors(path) if ours else _pickled(path)
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not _is_table(state):
        raise AvgzslError(f"{path} holds no weights (a table of names and plain tensors); give a checkpoint of the method")
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise AvgzslError(f"{path}: {broken[0]} holds NaN or infinite values; give another checkpoint")
    epoch = content.get("epoch") if state is not content else None
    method = _says(path).get("method") if ours else None
    return Weights(path, dict(state), epoch if isinstance(epoch, int) else None, sha256(path), ours, method)


def _says(path: Path) -> dict[str, str]:
    """What a .safetensors file says of itself."""
    with safe_open(path, "pt") as file:
        said: dict[str, str] = file.metadata() or {}
    return said


def _is_table(state: Any) -> TypeGuard[Mapping[str, Tensor]]:
    if not isinstance(state, Mapping) or not state:
        return False
    return all(isinstance(name, str) and isinstance(value, Tensor) and _is_plain(value) for name, value in state.items())


def _is_plain(value: Tensor) -> bool:
    """Whether it can be looked at and copied into a layer; torch.save writes other kinds of tensors too."""
    return value.layout is torch.strided and not (value.is_meta or value.is_quantized or value.is_complex())


def _pickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except Exception as error:  # a file from a stranger may raise anything
        said = " ".join(str(error).split())
        if asked := re.search(r"GLOBAL (\S+)", said):
            line = f"{path} is refused: it asks for {asked[1]}, and only weights are read"
            raise AvgzslError(f"{line}; get the checkpoint from its authors again") from None
        told = f" ({said[:120]})" if isinstance(error, OSError) else ""  # of other errors torch speaks to programmers
        raise AvgzslError(f"{path} is no readable checkpoint{told}; get the file again") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = from_safetensors(path.read_bytes())
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise AvgzslError(f"{path} is no readable .safetensors file ({error}); get the file again") from error
    return tensors


def _missing(path: Path) -> AvgzslError:
    return AvgzslError(f"there is no file {path}; give the path of a checkpoint or score file")


def read_scores(path: Path, manifest: Path) -> dict[str, Scored]:
    """The scores of a .safetensors file (`test` and, unless the bias is declared, `validation`) with what its manifest names.

    The manifest is JSON: {"test": {"clips": [...], "classes": [...]}, "validation": {...}}, in the order of rows and columns.
    Raises AvgzslError for a file that is missing or damaged, and for scores that the manifest does not describe.
    """
    values, named = _safetensors(path), _manifest(manifest)
    if "test" not in values:
        raise AvgzslError(f"{path} holds {', '.join(values) or 'nothing'}; it needs `test` (and `validation`), (clips, classes)")
    if strange := [name for name in values if name not in PARTS]:
        raise AvgzslError(f"{path} holds {strange[0]!r}; only {' and '.join(PARTS)} are read, leave the rest out")
    return {part: _scored(path, manifest, part, scores, named) for part, scores in values.items()}


def _manifest(path: Path) -> dict[str, Any]:
    try:
        named = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AvgzslError(
            f"there is no manifest {path}; write clip ids and class names there, or name it by --manifest"
        ) from error
    except (OSError, ValueError) as error:
        raise AvgzslError(f"manifest {path} cannot be read as JSON ({error}); mend it") from error
    if not isinstance(named, dict):
        raise AvgzslError(f"manifest {path} holds no parts; it needs test (and validation), each with clips and classes")
    return named


def _scored(path: Path, manifest: Path, part: str, values: Tensor, named: dict[str, Any]) -> Scored:
    names = named.get(part)
    lists = [names.get(key) if isinstance(names, dict) else None for key in ("clips", "classes")]
    if not all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists):
        raise AvgzslError(f"manifest {manifest} lacks the clips and classes of {part!r}; give both as lists of texts")
    clips, classes = (tuple(one) for one in lists if one is not None)
    if values.shape != (len(clips), len(classes)) or not values.is_floating_point():
        found = f"{str(values.dtype).removeprefix('torch.')} of shape {tuple(values.shape)}"
        raise AvgzslError(f"{path}: {part} is {found}; its manifest wants floats of shape ({len(clips)}, {len(classes)})")
    if not values.isfinite().all():
        raise AvgzslError(f"{path}: {part} holds NaN or infinite scores, first for clip {clips[_first_bad(values)]!r}; mend them")
    for what, one in (("clip", clips), ("class", classes)):
        if len(set(one)) != len(one):
            twice = next(name for i, name in enumerate(one) if name in one[:i])
            raise AvgzslError(f"manifest {manifest}: {what} {twice!r} stands twice in {part}; keep one")
    return Scored(values, clips, classes)


def _first_bad(values: Tensor) -> int:
    return int((~values.isfinite()).any(1).nonzero()[0])

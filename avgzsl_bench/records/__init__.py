"""The record of a run, one JSON a run, and the store it is read from."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import from_json
from safetensors import SafetensorError
from safetensors.numpy import load

from avgzsl_bench import metrics
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import write_whole
from avgzsl_bench.records._account import account
from avgzsl_bench.records._types import check_types
from avgzsl_bench.records._verified import Verified

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
TOLERANCE = 1e-9  # of a metric, as a fraction: the same counts divided by the same numbers
KEYS = ("schema", "run_id", "setting_id", "status", "source", "identity", "settings", "selection", "metrics", "per_class")
COLUMNS: dict[str, np.dtype[Any]] = {
    **dict.fromkeys(("label", "seen_class", "unseen_class"), np.dtype(np.int16)),
    **dict.fromkeys(("seen_score", "unseen_score"), np.dtype(np.float32)),
    "video": np.dtype(np.int32),
    "shared": np.dtype(np.bool_),
}
"""Types of the columns of decisions."""
MEND = "restore it or remove its folder"


class Record(dict[str, Any]):
    """One record as JSON has it, and the file that it was read from (None: it was never in one)."""

    path: Path | None = None


def ids(identity: dict[str, Any], changed: dict[str, Any], search: Any) -> tuple[str, str]:
    """(run_id, setting_id): 16 hex of everything that decides the numbers, and the same without the seed.

    Only settings that differ from their defaults are hashed, so that a new setting orphans no record.
    """
    content = {"identity": identity, "settings": changed, "search": search}
    without = {**content, "identity": {key: value for key, value in identity.items() if key != "seed"}}
    return _short(content), _short(without)


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def place(out: Path, identity: dict[str, Any], run_id: str) -> Path:
    """The folder of a record."""
    return out / f"{identity['method']}-{identity['dataset']}-{run_id}"


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record whole, readable as a diff."""
    write_whole(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: Path) -> Record:
    """One record, whose entries are of a run's types and whose numbers follow from its decisions.

    Raises AvgzslError for any other file.
    """
    record = _parsed(path)
    try:
        check_types(record)
    except AvgzslError as error:
        raise AvgzslError(f"record {path}: {error}; {MEND}") from error
    if record.get("decisions"):
        decided = _decided(path, record)
        try:
            _check_numbers(record, decided)
        except KeyError as error:
            raise AvgzslError(f"record {path} lacks {error.args[0]}; {MEND}") from error
        except AvgzslError as error:
            raise AvgzslError(f"record {path}: {error}; {MEND}") from error
    return record


def _parsed(path: Path) -> Record:
    """A record that is still to be checked."""
    try:
        content = from_json(path.read_bytes(), allow_inf_nan=False)
    except (OSError, ValueError) as error:
        raise AvgzslError(f"record {path} cannot be read: {error}; {MEND}") from error
    if not isinstance(content, dict) or any(key not in content for key in KEYS):
        missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
        raise AvgzslError(f"record {path} lacks {', '.join(missing)}; {MEND}")
    if content["schema"] != SCHEMA:
        raise AvgzslError(f"record {path} has schema {content['schema']!r}, this version reads {SCHEMA}; update avgzsl-bench")
    record = Record(content)
    record.path = path
    return record


def decisions(record: Mapping[str, Any]) -> metrics.Decisions | None:
    """The decisions beside a record; None where it was not read from a file, or has none.

    Raises AvgzslError where their file is no longer the one that the record describes.
    """
    path = getattr(record, "path", None)
    return _decided(path, record) if path and record.get("decisions") else None


def _decided(path: Path, record: Mapping[str, Any]) -> metrics.Decisions:
    file = path.parent / record["decisions"]["path"]
    try:
        raw = file.read_bytes()  # what is hashed is what is used
    except OSError:
        raw = b""
    if hashlib.sha256(raw).hexdigest() != record["decisions"]["sha256"]:
        raise AvgzslError(f"{file} is not the file that its record describes; {MEND}")
    try:
        columns = load(raw)
        found = metrics.Decisions(**columns)
    except (SafetensorError, TypeError) as error:
        raise AvgzslError(f"{file} holds no decisions: {error}; {MEND}") from error
    odd = [name for name, column in columns.items() if column.dtype != COLUMNS[name] or column.shape != found.label.shape]
    if odd or found.label.ndim != 1 or not len(found.label) or found.label.min() < 0:
        raise AvgzslError(f"{file} does not hold the columns of decisions, one entry a clip; {MEND}")
    return found


def _check_numbers(record: Mapping[str, Any], decided: metrics.Decisions) -> None:
    """A record's numbers follow exactly from its decisions; one that was edited or damaged is refused."""
    listed, said = record["per_class"], dict(_flat(record["metrics"]))
    flags = np.array(listed["unseen"], np.bool_)
    numbers, counts = account(decided, flags, record["selection"]["seen_bias"], record["identity"]["rules"])
    if "unshared" in record["metrics"] and decided.shared is None:
        raise AvgzslError("unshared does not follow from its decisions, which tell no source videos")
    for name, value in numbers.items():
        if not _alike(said[name], value):
            raise AvgzslError(f"{name} {_shown(said[name])} does not follow from its decisions, which give {_shown(value)}")
    odd = [name for name, column in counts.items() if listed[name] != column] + ["name"] * (len(listed["name"]) != len(flags))
    if odd:
        raise AvgzslError(f"per_class.{odd[0]} does not follow from its decisions")


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", one) for inner, one in value.items())
        else:
            yield name, value


def _alike(said: float | None, value: float | None) -> bool:
    return said is value if said is None or value is None else abs(said - value) <= TOLERANCE


def _shown(value: float | None) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def find(root: Path) -> list[Path]:
    """Paths of the records at or under a path, in order. Raises AvgzslError when the path is not there."""
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise AvgzslError(f"no records at {root}; `avgzsl run` writes them, by default under ./runs")
    found = []
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if not name.startswith(".")]  # one that is being written has such a name
        if "record.json" in names:
            found.append(Path(folder) / "record.json")
    return sorted(found)


def read_each(root: Path) -> Iterator[tuple[Path, Record | AvgzslError]]:
    """Every record at or under a path, or the error that says why it is none, in the order of their paths.

    A record that was found whole before is not checked again until it or its decisions change. Raises AvgzslError as `find`.
    """
    verified = Verified(root)
    for path in find(root):
        found = _tried(path, verified.knows(path))
        if isinstance(found, Record):
            verified.note()
        yield path, found
    verified.save()


def _tried(path: Path, known: bool) -> Record | AvgzslError:
    try:
        return _parsed(path) if known else read(path)
    except AvgzslError as error:
        return error


def read_all(root: Path) -> list[Record]:
    """Every record at or under a path, in the order of their paths. Raises AvgzslError as `find` and `read` do."""
    found = []
    for _, record in read_each(root):
        if isinstance(record, AvgzslError):
            raise record
        found.append(record)
    return found


def load_records(*roots: str | Path) -> "pd.DataFrame":
    """Records as a DataFrame, one row a run: identity, metrics and selection flattened with dots (metrics are fractions)."""
    import pandas as pd

    found = [record for root in roots or ("runs",) for record in read_all(Path(root))]
    keep = ("run_id", "setting_id", "status", "source", "recipe", "identity", "selection", "metrics", "cost", "settings")
    return pd.DataFrame([dict(_flat({key: record.get(key) for key in keep})) for record in found])

"""The record of a run, one JSON a run, and the store it is read from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file

from avgzsl_bench import metrics
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import sha256, write_whole

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
TOLERANCE = 1e-9  # of a metric, as a fraction: the same counts divided by the same numbers
KEYS = ("schema", "run_id", "setting_id", "status", "source", "identity", "settings", "selection", "metrics", "per_class")


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
    """One record. Raises AvgzslError when the file is not one."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AvgzslError(f"record {path} cannot be read: {error}; restore it or remove its folder") from error
    if not isinstance(record, dict) or any(key not in record for key in KEYS):
        missing = [key for key in KEYS if not isinstance(record, dict) or key not in record]
        raise AvgzslError(f"record {path} lacks {', '.join(missing)}; restore it or remove its folder")
    if record["schema"] != SCHEMA:
        raise AvgzslError(f"record {path} has schema {record['schema']!r}, this version reads {SCHEMA}; update avgzsl-bench")
    _check_decisions(path, record)
    found = Record(record)
    found.path = path
    return found


def decisions(record: Mapping[str, Any]) -> metrics.Decisions | None:
    """The decisions beside a record; None where it was not read from a file, or has none."""
    path = getattr(record, "path", None)
    if path is None or not record.get("decisions"):
        return None
    return metrics.Decisions(**load_file(path.parent / record["decisions"]["path"]))


def _check_decisions(path: Path, record: dict[str, Any]) -> None:
    """A record's numbers follow exactly from its decisions; one that was edited or damaged is refused."""
    if not record.get("decisions"):
        return
    file = path.parent / record["decisions"]["path"]
    if not file.is_file() or sha256(file) != record["decisions"]["sha256"]:
        raise AvgzslError(f"{file} is not the file that its record describes; restore it or remove its folder")
    identity, flags = record["identity"], record["per_class"]["unseen"]
    decisions = metrics.Decisions(**load_file(file))
    ids = np.unique(decisions.label)  # every class of the split has clips
    seen, unseen = ids[~np.array(flags)], ids[np.array(flags)]
    follows = metrics.at_bias(decisions, record["selection"]["seen_bias"], seen, unseen, identity["rules"])._asdict()
    follows["zero_shot"] = metrics.zero_shot(decisions, unseen)
    for name, value in follows.items():
        if abs(record["metrics"][name] - value) > TOLERANCE:
            said = f"{name} {record['metrics'][name]:.4f} does not follow from its decisions, which give {value:.4f}"
            raise AvgzslError(f"record {path}: {said}; restore it or remove its folder")


def find(root: Path) -> list[Path]:
    """Paths of the records at or under a path, in order. Raises AvgzslError when the path is not there."""
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise AvgzslError(f"no records at {root}; `avgzsl run` writes them, by default under ./runs")
    return sorted(root.rglob("record.json"))


def read_all(root: Path) -> list[Record]:
    """Every record at or under a path, in the order of their paths. Raises AvgzslError as `find` and `read` do."""
    return [read(path) for path in find(root)]


def load_records(*roots: str | Path) -> "pd.DataFrame":
    """Records as a DataFrame, one row a run: identity, metrics and selection flattened with dots (metrics are fractions)."""
    import pandas as pd

    rows = [record for root in roots or ("runs",) for record in read_all(Path(root))]
    keep = ("run_id", "setting_id", "status", "source", "recipe", "identity", "selection", "metrics", "cost", "settings")
    return pd.json_normalize([{key: row.get(key) for key in keep} for row in rows], max_level=1)

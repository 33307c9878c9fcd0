"""The record of a run, one JSON a run, and the store it is read from."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
KEYS = ("schema", "run_id", "setting_id", "status", "source", "identity", "settings", "selection", "metrics", "per_class")


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


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record whole, readable as a diff."""
    write_whole(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: Path) -> dict[str, Any]:
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
    return record


def read_all(root: Path) -> list[dict[str, Any]]:
    """Every record at or under a path, in the order of their paths. Raises AvgzslError when the path is not there."""
    if root.is_file():
        return [read(root)]
    if not root.is_dir():
        raise AvgzslError(f"no records at {root}; `avgzsl run` writes them, by default under ./runs")
    return [read(path) for path in sorted(root.rglob("record.json"))]


def load_records(*roots: str | Path) -> "pd.DataFrame":
    """Records as a DataFrame, one row a run: identity, metrics and selection flattened with dots (metrics are fractions)."""
    import pandas as pd

    rows = [record for root in roots or ("runs",) for record in read_all(Path(root))]
    keep = ("run_id", "setting_id", "status", "source", "recipe", "identity", "selection", "metrics", "cost", "settings")
    return pd.json_normalize([{key: row.get(key) for key in keep} for row in rows], max_level=1)

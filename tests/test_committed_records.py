"""The records in the repository: made by a commit that anyone can get, and nothing beside them that is not needed."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KEPT = {"record.json", "decisions.safetensors"}


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout: what is tracked is git's to say")
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "leaderboards/records"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [ROOT / name for name in listed.split("\0") if name]
    if not found:
        pytest.skip("no record is committed yet")
    return found


def test_records_are_of_committed_code(tracked):
    records = {path: json.loads(path.read_text()) for path in tracked if path.name == "record.json"}
    assert records
    changed = [path.parent.name for path, record in records.items() if record["environment"]["code"]["dirty"] is not False]
    assert changed == [], "made by code that stands in no commit: commit first, then run again"


def test_only_records_and_decisions_are_kept(tracked):
    assert [path for path in tracked if path.name not in KEPT or path.parent.parent != ROOT / "leaderboards" / "records"] == []
    folders = {path.parent for path in tracked}
    assert {(folder / name) for folder in folders for name in KEPT} == set(tracked), "a record and its decisions go together"

"""Bring features into the store: the authors' files (`layout`), or a table of one's own (`table`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from avgzsl_bench import features as store
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import Incoming, Manifest

IMPORTED = "imported"
AGAIN = "imported again, since something changed"
NOTHING = "nothing to do, these files were imported before"


class Report(NamedTuple):
    """How an import ended, what the store now holds, and a line for each class with fewer clips than published."""

    outcome: str
    manifest: Manifest
    notes: list[str]


def write(folder: Path, header: Manifest, incoming: Mapping[str, Incoming], notes: list[str]) -> Report:
    """Write a store in place of what was there, and say so."""
    outcome = AGAIN if (folder / "manifest.json").is_file() else IMPORTED
    return Report(outcome, store.write_store(folder, header, incoming), notes)


def up_to_date(folder: Path, header: Manifest, stamps: list[tuple[str, int, int]]) -> Manifest | None:
    """What the store holds, if it came from these very files and is still whole."""
    try:
        old = store.read_manifest(folder)
        whole = not store.verify(folder)
    except AvgzslError:
        return None
    facts = ("dataset", "revision", "features", "split", "audio", "video", "classes", "own")
    same = all(getattr(old, fact) == getattr(header, fact) for fact in facts)
    return old if same and whole and [(s.path, s.size, s.mtime_ns) for s in old.sources] == stamps else None

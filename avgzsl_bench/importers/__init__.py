"""Bring features into the store: the authors' files (`layout`), or a table of one's own (`table`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from avgzsl_bench import features as store
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import Manifest
from avgzsl_bench.importers.writing import Incoming, write_store

IMPORTED = "imported"
AGAIN = "imported again, since something changed"
NOTHING = "nothing to do, these files were imported before"


class Report(NamedTuple):
    """How an import ended, and what the store now holds."""

    outcome: str
    manifest: Manifest
    short: Sequence[str] = ()  # a line for each class with fewer clips than published
    texts: Sequence[str] = ()  # files of text vectors that were left where they are


def write(folder: Path, header: Manifest, incoming: Mapping[str, Incoming]) -> Report:
    """Write a store in place of what was there, and say so."""
    outcome = AGAIN if (folder / "manifest.json").is_file() else IMPORTED
    return Report(outcome, write_store(folder, header, incoming))


def up_to_date(folder: Path, header: Manifest, stamps: list[tuple[str, int, int]]) -> Manifest | None:
    """What the store holds, if it came from these very files and is still whole."""
    try:
        old = store.read_manifest(folder)
        whole = not store.verify(folder)
    except AvgzslError:
        return None
    facts = ("dataset", "revision", "features", "split", "temporal", "audio", "video", "classes", "own")
    same = all(getattr(old, fact) == getattr(header, fact) for fact in facts)
    return old if same and whole and [(s.path, s.size, s.mtime_ns) for s in old.sources] == stamps else None

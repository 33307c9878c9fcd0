"""Text sources: which texts describe each class, and in which order the rules serve them."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from avgzsl_bench.contracts import ClassInfo, Rules
from avgzsl_bench.errors import AvgzslError

DESCRIPTIONS = ("description_1", "description_2", "description_3")
REFERENCE = {("names", "word2vec"), ("kda", "clip")}  # (source, encoder) pairs that the reference code has


class Pack(NamedTuple):
    """Texts as served, in class-id order: equally many for every class."""

    source: str  # name@version
    texts: tuple[tuple[str, ...], ...]  # (classes, texts)

    @property
    def sha256(self) -> str:
        """Hash of the texts, sensitive to their order and to where one ends and the next begins."""
        parts = (f"{len(text.encode())}:{text}" for texts in self.texts for text in (str(len(texts)), *texts))
        return hashlib.sha256("".join(parts).encode()).hexdigest()


def served(source: str, classes: Sequence[ClassInfo], encoder: str, rules: Rules) -> Pack:
    """The texts that class 0, 1, ... gets under the rules, which need not be its own.

    `source` is `names`, or `kda:FILE.csv` for a description file of the KDA release. Corrected rules join by name.
    Reference rules keep the row order of the reference loaders, which index by class id a list of another order: the word
    vectors sorted by text name, the description file as it lies.

    Raises AvgzslError for an unknown source, a source that does not cover the classes, and under reference rules any
    (source, encoder) that the reference code does not have.
    """
    kind, _, path = source.partition(":")
    if rules == "reference" and (kind, encoder) not in REFERENCE:
        raise AvgzslError(
            f"text {kind!r} with encoder {encoder!r} has no row order in the reference code; "
            "use --encoder word2vec, or --text kda:FILE.csv with --encoder clip, or --rules corrected"
        )
    if kind == "names" and not path:
        return Pack("names@1", _names(classes, rules))
    if kind == "kda" and path:
        return Pack("kda@1", _kda(Path(path), classes, rules))
    raise AvgzslError(f"unknown text source {source!r}; use names, or kda:FILE.csv for a description file of the KDA release")


def _names(classes: Sequence[ClassInfo], rules: Rules) -> tuple[tuple[str, ...], ...]:
    names = [info.text_name for info in classes]
    return tuple((name,) for name in (sorted(names) if rules == "reference" else names))


def _kda(path: Path, classes: Sequence[ClassInfo], rules: Rules) -> tuple[tuple[str, ...], ...]:
    """Four texts a class: its name and three descriptions, verbatim."""
    rows = _rows(path)
    names = [info.text_name for info in classes]
    by_name = {row[0]: row for row in rows}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise AvgzslError(f"{path} describes no class {missing[0]!r} ({len(missing)} missing); give the file of this data set")
    if len(by_name) != len(rows) or len(rows) != len(names):
        raise AvgzslError(f"{path} has {len(rows)} rows for {len(names)} classes; it should have one row a class")
    return tuple(rows) if rules == "reference" else tuple(by_name[name] for name in names)


def _rows(path: Path) -> list[tuple[str, ...]]:
    columns = ("name", *DESCRIPTIONS)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [tuple(row.get(column) or "" for column in columns) for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise AvgzslError(f"text source {path} cannot be read: {error}; give a csv of {', '.join(columns)}") from error
    empty = [row[0] for row in rows if not all(text.strip() for text in row)]
    if empty or not rows:
        what = f"an empty cell in row {empty[0]!r}" if empty else "no rows"
        raise AvgzslError(f"{path} has {what}; it should hold {', '.join(columns)} for every class")
    return rows

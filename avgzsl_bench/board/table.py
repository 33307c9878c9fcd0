"""Records and published numbers into one table: a section for each rules, data set, features and split."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from avgzsl_bench import plugins
from avgzsl_bench.board import audit, measured
from avgzsl_bench.board.cells import METRICS, Cell, Row
from avgzsl_bench.board.measured import Group, Place, Record
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.published import PublishedRow

UNMEASURED = "published"  # stands for the rules of a section in which nothing is measured

CAPTION = (
    "S and U are the mean per-class accuracies on the seen and unseen test classes, HM is their harmonic mean, and ZSL is the "
    "accuracy on unseen classes when only they compete; all in per cent.",
    "Measured numbers are the mean over n seeds of one setting ± the half-width of its 95 % t interval, t(0.975, n−1) · s / √n; "
    "HM is the mean of the seeds' HM. ±– marks a single run, whose spread is unknown. – is not measured, or not printed.",
    "Epoch, seen bias and searched settings are selected on validation classes with the test set sealed, unless a footnote says "
    "otherwise. A row names the settings in which it differs from what `avgzsl run` uses, or from its siblings.",
    "Published numbers stand in columns of their own: single runs under their authors' rules, never ranked, nor pooled with "
    "measured ones.",
)
RULES = {
    "corrected": "class text joined by name, exact sweep of the seen bias, stage 1's learning-rate drops replayed in stage 2",
    "reference": "the order of class texts, the bias grid and the stage-2 schedule of the authors' code",
    UNMEASURED: "nothing is measured here yet",
}


@dataclass(frozen=True)
class Section:
    """One data set, features and split under one rules value."""

    place: Place
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """`ucf · selavi · main`, saying so where the data are synthetic."""
        title = f"{self.place.dataset} · {self.place.features} · {self.place.split}"
        return f"{title} · SYNTHETIC data" if self.place.synthetic else title

    @property
    def measured(self) -> bool:
        """Whether any row was run."""
        return any(row.n for row in self.rows)

    @property
    def printed_in(self) -> str:
        """Where the published columns come from."""
        return "; ".join(dict.fromkeys(row.printed_in for row in self.rows if row.printed_in))


@dataclass(frozen=True)
class Table:
    """What a renderer turns into text. Footnotes are numbered in the order in which the rows show them."""

    sections: tuple[Section, ...]
    remarks: tuple[str, ...] = ()  # about records that are in no row

    @property
    def notes(self) -> list[str]:
        """Every footnote, its number being its place counted from 1."""
        return list(dict.fromkeys(note for section in self.sections for row in section.rows for note in _notes(row)))

    def numbers(self, notes: Sequence[str]) -> list[int]:
        """The numbers of some footnotes."""
        return sorted(self.notes.index(note) + 1 for note in notes)

    def records(self) -> list[dict[str, Any]]:
        """One flat dict a row, for machines; numbers are unrounded but for float noise."""
        return [_flat(section, row) for section in self.sections for row in section.rows]


def build(
    records: Sequence[Record], published: Sequence[PublishedRow], dataset: str | None = None, remarks: Sequence[str] = ()
) -> Table:
    """The whole table, or that of one data set. Raises AvgzslError for a data set that neither side knows."""
    complete, more = measured.usable(records)
    found: dict[Place, list[Group]] = defaultdict(list)
    for group in measured.groups(complete):
        found[group.place].append(group)
    printed: dict[tuple[str | bool, ...], list[PublishedRow]] = defaultdict(list)
    for row in published:
        printed[Place(UNMEASURED, row.dataset, row.features, row.split)[1:]].append(row)
    places = _places(list(found), list(printed), dataset)
    listed = {place[1:]: place for place in reversed(places)}  # unmeasured systems are listed where their data set first stands
    events = plugins.Events()
    rows = {place: measured.rows(found[place], events) for place in places}
    sections = (_section(place, rows[place], printed[place[1:]], listed[place[1:]] == place) for place in places)
    return Table(tuple(sections), (*remarks, *more))


def _places(found: list[Place], printed: list[tuple[str | bool, ...]], dataset: str | None) -> list[Place]:
    unmeasured = [Place._make((UNMEASURED, *key)) for key in printed if key not in {place[1:] for place in found}]
    places = [place for place in found + unmeasured if dataset in (None, place.dataset)]
    if dataset is not None and not places:
        known = sorted({place.dataset for place in found + unmeasured})
        raise AvgzslError(plugins.unknown("dataset", dataset, known, "avgzsl leaderboard"))
    order = list(RULES)
    return sorted(places, key=lambda place: (order.index(place.rules) if place.rules in order else -1, place))


def _section(place: Place, rows: Sequence[Row], printed: Sequence[PublishedRow], list_all: bool) -> Section:
    ordered = sorted(rows, key=_order)
    beside, alone = _beside(_ranked(ordered), printed)
    systems = sorted((_system(row) for row in alone), key=_published_order) if list_all else []
    return Section(place, tuple(beside + systems))


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """Ordered rows with their ranks: equal HM share one, and the next rank counts all rows before it (1, 1, 3)."""
    means = [_harmonic_mean(row) for row in rows if row.rankable]
    return [replace(row, rank=1 + means.index(_harmonic_mean(row))) if row.rankable else row for row in rows]


def _beside(rows: Sequence[Row], printed: Sequence[PublishedRow]) -> tuple[list[Row], list[PublishedRow]]:
    """The first published numbers of a method beside its best row, measured if one is; and the published rows that stand alone.

    Those of a method that was re-implemented from its abstract are another system's, and stand alone.
    """
    measured_first = sorted(enumerate(rows), key=lambda item: item[1].source != "measured")
    best = {row.method: i for i, row in reversed(measured_first) if not row.from_abstract}
    result, alone = list(rows), []
    for own in printed:
        i = best.pop(own.method, None)
        if i is None:
            alone.append(own)
        else:
            result[i] = replace(result[i], published=_published(own), printed_in=own.printed_in)
    return result, alone


def _system(row: PublishedRow) -> Row:
    return Row(row.method, row.label, source=UNMEASURED, published=_published(row), printed_in=row.printed_in)


def _published(row: PublishedRow) -> dict[str, Cell]:
    faults = {"harmonic_mean": audit.harmonic_mean_fault(row), "unseen": audit.zero_shot_fault(row)}
    return {
        metric: Cell(getattr(row, metric), source=UNMEASURED, notes=(faults[metric],) if faults.get(metric) else ())
        for metric in METRICS
    }


def _order(row: Row) -> tuple[Any, ...]:
    """Whole rows by falling HM, then those selected on test, then those with a missing cell."""
    return not row.whole, row.test_selected, -_harmonic_mean(row), row.name, row.encoder, row.text, row.setting_id


def _harmonic_mean(row: Row) -> float:
    return _round(row.measured["harmonic_mean"].mean) or 0.0


def _published_order(row: Row) -> tuple[Any, ...]:
    mean = row.published["harmonic_mean"].mean
    return mean is None, -(mean or 0.0), row.name, row.printed_in


def _notes(row: Row) -> Iterator[str]:
    yield from row.notes
    for cell in (*row.measured.values(), *row.published.values()):
        yield from cell.notes


def _flat(section: Section, row: Row) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for metric, cell in row.measured.items():
        numbers |= {f"{metric}_percent": _round(cell.mean), f"{metric}_half_width_percent": _round(cell.half_width)}
    return {
        **section.place._asdict(),
        "rules": section.place.rules if row.n else UNMEASURED,
        "rank": row.rank,
        "method": row.method,
        "name": row.name,
        "encoder": row.encoder,
        "text": row.text,
        "changed": ", ".join(row.changed),
        "recipe": row.recipe,
        "source": row.source,
        "floor": row.floor,
        "from_abstract": row.from_abstract,
        "selected_on_test": row.test_selected,
        "setting_id": row.setting_id,
        "n": row.n,
        **numbers,
        **{f"published_{metric}_percent": cell.mean for metric, cell in row.published.items()},
        "printed_in": row.printed_in,
        "notes": " ".join(dict.fromkeys(_notes(row))),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 10)

"""Records and published numbers into one table: a section for each key, within which alone rows are ranked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from avgzsl_bench import plugins
from avgzsl_bench.board import audit, measured, uncertainty
from avgzsl_bench.board.cells import METRICS, UNITS, Cell, Row
from avgzsl_bench.board.measured import Place, Record
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.published import PublishedRow

UNMEASURED = "published"  # stands for the rules of a section in which nothing is measured

CAPTION = (
    "S and U are the mean per-class accuracies on the seen and unseen test classes, HM is their harmonic mean, and ZSL is the "
    "accuracy on unseen classes when only they compete; all in per cent.",
    "A table has one key: data set, features, split, class text, form and rules. Rows of different keys are not ranked together.",
    "Measured numbers are the mean over n seeds of one setting ± the half-width of its 95 % t interval, t(0.975, n−1) · s / √n; "
    "HM is the mean of the seeds' HM. ±– marks a single run, whose spread is unknown. – is not measured, or not printed.",
    "Spread over seeds is how steady training is. How much HM would change on other test clips, source videos or classes, drawn "
    "anew within seen and within unseen, is told by 95 % bootstrap intervals in columns of their own.",
    "Rows of one tie group are not told apart from the best of the group: to be separated from it, a row needs Welch's test over "
    "seeds, a paired bootstrap over clips and a test with both spreads added to reject at 5 %, after Holm over all comparisons.",
    "Epoch, seen bias and searched settings are selected on validation classes with the test set sealed, unless a footnote says "
    "otherwise. A row names the settings in which it differs from what `avgzsl run` uses, or from its siblings.",
    "Published numbers stand in columns of their own: single runs under their authors' rules, never ranked, nor pooled with "
    "measured ones. Beside measured ones stand the difference, and whether the printed number is within the 95 % prediction "
    "interval of one more run, mean ± t · s · √(1 + 1/n); one run cannot tell.",
)
RULES = {
    "corrected": "class text joined by name, exact sweep of the seen bias, stage 1's learning-rate drops replayed in stage 2",
    "reference": "the order of class texts, the bias grid and the stage-2 schedule of the authors' code",
    UNMEASURED: "nothing is measured here yet",
}


@dataclass(frozen=True)
class Section:
    """One key: its rows in order, and what is said of all of them."""

    place: Place
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """`ucf · selavi · main · clip of names@1 · form paper`, saying so where the data are synthetic."""
        own = self.place
        parts = [own.dataset, own.features, own.split, own.text]
        parts += [f"form {own.form}"] * bool(own.form) + ["SYNTHETIC data"] * own.synthetic + list(own.content)
        return " · ".join(parts)

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
        return list(self._numbered)

    @cached_property
    def _numbered(self) -> dict[str, int]:
        found = dict.fromkeys(note for section in self.sections for row in section.rows for note in notes_of(row))
        return {note: number for number, note in enumerate(found, 1)}

    def numbers(self, notes: Sequence[str]) -> list[int]:
        """The numbers of some footnotes."""
        return sorted(self._numbered[note] for note in notes)

    def records(self) -> list[dict[str, Any]]:
        """One flat dict a row, for machines; numbers are unrounded but for float noise."""
        return [_flat(section, row) for section in self.sections for row in section.rows]


def build(
    records: Sequence[Record], published: Sequence[PublishedRow], dataset: str | None = None, remarks: Sequence[str] = ()
) -> Table:
    """The whole table, or that of one data set. Raises AvgzslError for a data set that neither side knows."""
    complete, more = measured.usable(records)
    found = measured.places(measured.groups(complete))
    homes = _homes(list(found), published)
    places = _places([*found, *(place for place in dict.fromkeys(homes.values()) if place not in found)], dataset)
    events = plugins.Events()
    faults = audit.footnotes(published)
    sections = []
    for place in places:
        rows, said = uncertainty.judged(sorted(measured.rows(found.get(place, ()), events), key=_order))
        beside = [row for row in published if place in found and _belongs(row, place)]
        own = [row for row in published if homes[row] == place]
        sections.append(Section(place, _with_printed(rows, beside, own, faults), tuple(said)))
    return Table(tuple(sections), (*remarks, *more))


def _homes(found: Sequence[Place], published: Sequence[PublishedRow]) -> dict[PublishedRow, Place]:
    """Where each printed number is listed: in the first measured section that it belongs to, else under a key of its own."""
    first = _places(found, None)
    return {row: next((place for place in first if _belongs(row, place)), _own_place(row)) for row in published}


def _own_place(row: PublishedRow) -> Place:
    said = f"{row.encoder} of {row.text}" if row.encoder and row.text else "class text not stated"
    return Place(UNMEASURED, row.dataset, row.features, row.split, said, "")


def _belongs(row: PublishedRow, place: Place) -> bool:
    """Whether a printed number has the key of a section, but for form and rules, which are its authors'."""
    here = (place.dataset, place.features, place.split, place.synthetic) == (row.dataset, row.features, row.split, False)
    encoder, _, text = place.text.partition(" of ")
    return here and encoder == row.encoder and measured.alike(row.text, text)


def _places(places: Sequence[Place], dataset: str | None) -> list[Place]:
    kept = [place for place in places if dataset in (None, place.dataset)]
    if dataset is not None and not kept:
        known = sorted({place.dataset for place in places})
        raise AvgzslError(plugins.unknown("dataset", dataset, known, "avgzsl leaderboard"))
    order = list(RULES)
    return sorted(kept, key=lambda place: (order.index(place.rules) if place.rules in order else -1, place))


Faults = Mapping[tuple[PublishedRow, str], Sequence[str]]  # of a printed row's metric


def _with_printed(
    rows: Sequence[Row], beside: Sequence[PublishedRow], own: Sequence[PublishedRow], faults: Faults
) -> tuple[Row, ...]:
    """Ordered rows, the first published numbers of a method beside its best row, measured if one is; then those that stand alone.

    Those of a method that was re-implemented from its abstract are another system's, and stand alone.
    """
    measured_first = sorted(enumerate(rows), key=lambda item: item[1].source != "measured")
    best = {row.method: i for i, row in reversed(measured_first) if not row.from_abstract}
    result, placed = list(rows), set()
    for printed in beside:
        i = best.pop(printed.method, None)
        if i is not None:
            placed.add(printed)
            cells = _published(printed, faults)
            against = uncertainty.verdicts(result[i], cells)
            result[i] = replace(result[i], published=cells, printed_in=printed.printed_in, against=against)
    alone = [_system(printed, faults) for printed in own if printed not in placed]
    return (*result, *sorted(alone, key=_published_order))


def _system(row: PublishedRow, faults: Faults) -> Row:
    notes = (row.note,) if row.note else ()
    return Row(
        row.method, row.label, source=UNMEASURED, published=_published(row, faults), printed_in=row.printed_in, notes=notes
    )


def _published(row: PublishedRow, faults: Faults) -> dict[str, Cell]:
    return {
        metric: Cell(getattr(row, metric), source=UNMEASURED, notes=tuple(faults.get((row, metric), ()))) for metric in METRICS
    }


def _order(row: Row) -> tuple[Any, ...]:
    """Whole rows by falling HM, then those selected on test, then those with a missing cell."""
    return not row.whole, row.test_selected, -_harmonic_mean(row), row.name, row.encoder, row.text, row.setting_id


def _harmonic_mean(row: Row) -> float:
    return _round(row.measured["harmonic_mean"].mean) or 0.0


def _published_order(row: Row) -> tuple[Any, ...]:
    mean = row.published["harmonic_mean"].mean
    return mean is None, -(mean or 0.0), row.name, row.printed_in


def notes_of(row: Row) -> Iterator[str]:
    """Every footnote of a row, in the order of its cells."""
    yield from row.notes
    for cell in (*row.measured.values(), *row.published.values()):
        yield from cell.notes


def _flat(section: Section, row: Row) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for metric, cell in row.measured.items():
        numbers |= {f"{metric}_percent": _round(cell.mean), f"{metric}_half_width_percent": _round(cell.half_width)}
    for unit in UNITS:
        interval = row.over(unit)
        numbers |= {f"harmonic_mean_over_{unit}_{end}_percent": _round(getattr(interval, end, None)) for end in ("low", "high")}
    verdict, versus = row.against.get("harmonic_mean"), row.versus
    return {
        **{key: value for key, value in section.place._asdict().items() if key not in ("text", "content")},
        "class_text": section.place.text,
        "content": ", ".join(section.place.content),
        "rules": section.place.rules if row.n else UNMEASURED,
        "tie_group": row.tie_group,
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
        "unshared_seen_percent": _round(row.unshared.mean),
        "behind": versus.best if versus else "",
        "behind_by_percent": _round(versus.difference) if versus else None,
        "p_seeds": versus.p_seeds if versus else None,
        "p_clips": versus.p_clips if versus else None,
        "p_together": versus.p_together if versus else None,
        "p_holm": versus.p if versus else None,
        **{f"published_{metric}_percent": cell.mean for metric, cell in row.published.items()},
        "published_harmonic_mean_within_prediction": verdict.within if verdict else None,
        "printed_in": row.printed_in,
        "notes": " ".join(dict.fromkeys(notes_of(row))),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 10)

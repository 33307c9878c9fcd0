"""Tables in the shape of papers, as `drawings` draws them: systems below each other, data sets side by side."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from avgzsl_bench.board import uncertainty
from avgzsl_bench.board.cells import Cell, Row, Verdict
from avgzsl_bench.board.measured import short

Kind = Literal["encoder", "text"]
KINDS: tuple[Kind, ...] = ("encoder", "text")
OTHER: Mapping[Kind, Kind] = MappingProxyType({"encoder": "text", "text": "encoder"})
METRICS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {"encoder": ("unseen", "harmonic_mean", "zero_shot"), "text": ("harmonic_mean",)}
)
TITLES = {"encoder": "Text encoders, as in Table 5 of chen2023", "text": "Class texts, as in Figure 2 of chen2023"}
CAPTION = (
    "One table compares runs that agree in everything but what its first column names: method, form, rules, settings, features, "
    "split and data. U, HM and ZSL are in per cent: the mean over n seeds ± the half-width of its 95 % t interval; ±– marks a "
    "single run, whose spread is unknown.",
    "printed: what the paper prints, of single runs by the authors' own code and with their own descriptions (the pack kda); it "
    "does not say which weights its encoders had. difference: measured minus printed, on real data only.",
)
NOT_RUN = "not run"
AGREEMENT: Mapping[bool | None, str] = MappingProxyType({True: "≈", False: "≠", None: "?"})
LEGEND = (
    "difference: measured minus printed. ≈ the printed number lies within the 95 % prediction interval of one more run, "
    "mean ± t · s · √(1 + 1/n); ≠ it does not; ? a single run cannot tell."
)
Subject = tuple[str, ...]  # an encoder and its unusual settings, or a class text


class Setting(NamedTuple):
    """What all tables of one family agree in."""

    method: str
    form: str
    rules: str
    changed: tuple[str, ...] = ()  # settings of the method in which it differs from `avgzsl run`
    versions: tuple[str, ...] = ()  # of the protocol, the method, its losses: all that is not said elsewhere


class Column(NamedTuple):
    """One data set, features and split, and the content that all runs of a column share."""

    dataset: str
    features: str
    split: str
    synthetic: bool = False
    content: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> tuple[str, ...]:
        """The lines of its heading."""
        return self.dataset, f"{self.features} · {self.split}", *(("SYNTHETIC data",) if self.synthetic else ())


@dataclass(frozen=True)
class Line:
    """One encoder, or one text: what was measured and what is printed, in the columns that have it."""

    subject: Subject
    measured: Mapping[Column, Row] = field(default_factory=dict)
    printed: Mapping[Column, Mapping[str, Cell]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    runs: bool = True  # False: printed of something that is not here, which no run can fill in
    absent: Mapping[Column, str] = field(default_factory=dict)  # why it was not run

    def absent_for(self, column: Column) -> tuple[str, ...]:
        """The note on why a cell is empty, or none."""
        return (self.absent[column],) if column in self.absent else ()

    def verdict(self, column: Column, metric: str) -> Verdict | None:
        """The printed number against the measured ones, where both are known; nothing is printed of synthetic data."""
        if column not in self.measured or column not in self.printed:
            return None
        return uncertainty.verdicts(self.measured[column], self.printed[column]).get(metric)

    def difference(self, column: Column, metric: str) -> float | None:
        """Measured minus printed in per cent."""
        found = self.verdict(column, metric)
        return found.difference if found else None

    def shown_difference(self, column: Column, metric: str) -> str:
        """`≈ +1.23`, its sign before it so that the points stay in line, or nothing."""
        found = self.verdict(column, metric)
        return f"{AGREEMENT[found.within]} {found.difference:+.2f}".replace("-", "−") if found else ""


class Drawn(Protocol):
    """What a drawing reads of a table."""

    @property
    def head(self) -> str:
        """What its first column names."""

    @property
    def group(self) -> str:
        """The heading that it shares with its neighbours, or nothing."""

    @property
    def title(self) -> str:
        """Its own heading."""

    @property
    def printed_in(self) -> str:
        """Where its printed numbers come from, or nothing."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of each data set, in order."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The data sets."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """The systems."""

    def heading(self, column: Column) -> tuple[str, ...]:
        """The lines above a column."""


@dataclass(frozen=True)
class Grid:
    """One table: its lines differ in their encoder (or text) only, `fixed` is the text (or encoder) of all of them."""

    kind: Kind
    setting: Setting
    fixed: Subject
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    printed_in: str = ""
    told: tuple[str, ...] = ()  # the versions in which another family like this differs

    @property
    def head(self) -> str:
        """Its first column names encoders, or texts."""
        return self.kind

    @property
    def group(self) -> str:
        """The heading of all tables of one kind."""
        return TITLES[self.kind]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that the paper prints in this shape."""
        return METRICS[self.kind]

    @property
    def title(self) -> str:
        """`text descriptions@1 · kda · rules corrected · epochs=2`."""
        form = f" ({self.setting.form})" * (self.setting.form != "paper")
        parts = (f"{OTHER[self.kind]} {', '.join(self.fixed)}", f"{self.setting.method}{form}", f"rules {self.setting.rules}")
        return " · ".join((*parts, ", ".join((*self.setting.changed, *self.told)))).removesuffix(" · ")

    @property
    def seeds(self) -> int:
        """The most that any line has been run with."""
        return max((row.n for line in self.lines for row in line.measured.values()), default=0)

    def heading(self, column: Column) -> tuple[str, ...]:
        """The lines above a column: its title, and its content where another column has the same title."""
        twins = [dict(other.content) for other in self.columns if other.title == column.title]
        varying = [(key, value) for key, value in column.content if any(other.get(key) != value for other in twins)]
        return (*column.title, *(f"{key} {short(value)}" for key, value in varying))

    def missing(self) -> list[tuple[Line, Column]]:
        """The cells that a run would fill."""
        return [(line, column) for line in self.lines if line.runs for column in self.columns if column not in line.measured]


Own = TypeVar("Own", bound=Drawn)


@dataclass(frozen=True)
class Page(Generic[Own]):
    """What `drawings` draws."""

    title: str
    grids: tuple[Own, ...]
    heading: tuple[str, ...] = ()  # what must be read before the numbers
    caption: tuple[str, ...] = ()  # what the numbers are
    remarks: tuple[str, ...] = ()  # what is not in the tables

    @property
    def words(self) -> tuple[str, ...]:
        """The caption, and what the signs of differences mean where there are such."""
        cells = [(line, column, metric) for grid in self.grids for line in grid.lines for column, metric in _across(grid)]
        return (*self.caption, *[LEGEND] * any(line.shown_difference(column, metric) for line, column, metric in cells))

    @property
    def notes(self) -> list[str]:
        """Every footnote, its number being its place counted from 1."""
        return list(dict.fromkeys(note for grid in self.grids for line in grid.lines for note in _notes(line)))

    def mark(self, notes: Iterable[str]) -> str:
        """`[1][3]`."""
        known = self.notes
        return "".join(f"[{number}]" for number in sorted({known.index(note) + 1 for note in notes}))

    def records(self) -> list[dict[str, Any]]:
        """One flat dict a line and data set, for machines; numbers are unrounded but for float noise."""
        return [_flat(grid, line, column) for grid in self.grids for line in grid.lines for column in grid.columns]


Ablation = Page[Grid]


def _notes(line: Line) -> Iterator[str]:
    yield from line.notes
    yield from line.absent.values()
    yield from (note for row in line.measured.values() for note in row.notes)
    yield from (note for cells in line.printed.values() for cell in cells.values() for note in cell.notes)


def _across(grid: Drawn) -> Iterator[tuple[Column, str]]:
    yield from ((column, metric) for column in grid.columns for metric in grid.metrics)


def _flat(grid: Drawn, line: Line, column: Column) -> dict[str, Any]:
    row, printed = line.measured.get(column), line.printed.get(column, {})
    about = {key: getattr(row, key) if row else None for key in ("method", "encoder", "text", "setting_id", "n")}
    numbers: dict[str, Any] = {}
    for metric in grid.metrics:
        own, theirs = row.measured[metric] if row else Cell(), printed.get(metric, Cell())
        found = line.verdict(column, metric)
        numbers |= {
            f"{metric}_percent": _round(own.mean),
            f"{metric}_half_width_percent": _round(own.half_width),
            f"printed_{metric}_percent": theirs.mean,
            f"difference_{metric}_percent": _round(line.difference(column, metric)),
            f"printed_{metric}_within_prediction_interval": found.within if found else None,
        }
    notes = [
        *line.notes,
        *(row.notes if row else line.absent_for(column)),
        *(one for cell in printed.values() for one in cell.notes),
    ]
    return {
        "table": grid.title,
        "line": ", ".join(line.subject),
        **{key: getattr(column, key) for key in ("dataset", "features", "split", "synthetic")},
        **about,
        **numbers,
        "printed_in": grid.printed_in if printed else "",
        "notes": " ".join(dict.fromkeys(notes)),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 10)

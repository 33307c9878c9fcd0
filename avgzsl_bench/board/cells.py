"""Cells and rows of a leaderboard: numbers in per cent that know their interval, count, source and footnotes."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args

from avgzsl_bench import significance

METRICS = {"seen": "S", "unseen": "U", "harmonic_mean": "HM", "zero_shot": "ZSL"}
UNITS: tuple[significance.Unit, ...] = get_args(significance.Unit)  # what a bootstrap draws anew, within seen and within unseen
DASH = "–"
SMALL_P = 0.001  # below it, a p is shown as such


@dataclass(frozen=True)
class Cell:
    """One number in per cent. `half_width` is of the 95 % t interval of the mean, None for a single run."""

    mean: float | None = None
    half_width: float | None = None
    n: int = 0
    source: str = "measured"
    notes: tuple[str, ...] = ()

    @property
    def spread(self) -> str:
        """`± 1.23`; `±–` where one run leaves it unknown; nothing for a printed or missing number."""
        if self.mean is None or self.source == "published":
            return ""
        return f"±{DASH}" if self.half_width is None else f"± {self.half_width:.2f}"

    def __str__(self) -> str:
        value = DASH if self.mean is None else f"{self.mean:.2f}"
        return f"{value} {self.spread}".rstrip()


class Interval(NamedTuple):
    """Both ends of an interval, in per cent."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.1f} to {self.high:.1f}"


class Versus(NamedTuple):
    """How a row compares with the best of its key, by harmonic mean; a p is None where one run cannot tell."""

    best: str
    difference: float  # of HM, in per cent, this row minus the best
    p_seeds: float | None = None  # Welch over seeds
    p_clips: float | None = None  # paired bootstrap over clips
    p_together: float | None = None  # of both spreads added
    p: float | None = None  # the largest of the three, after Holm over all comparisons with the best

    def __str__(self) -> str:
        told = "cannot tell" if self.p is None else f"p {self.p:.3f}" if self.p >= SMALL_P else f"p < {SMALL_P}"
        return f"{self.difference:+.2f} to {self.best}, {told}".replace("-", "−")


class Verdict(NamedTuple):
    """A printed single run against the prediction interval of the measured ones, in per cent; None: one run cannot tell."""

    difference: float  # measured minus printed
    interval: Interval | None
    within: bool | None

    def __str__(self) -> str:
        said = {None: "cannot tell", True: "within", False: "outside"}[self.within]
        return f"{self.difference:+.2f} ({said})".replace("-", "−")


@dataclass(frozen=True)
class Row:
    """One setting of one method, or one published system, in a section."""

    method: str
    name: str  # as shown: the method, and what must be known with its numbers: a floor, the reference form, a re-implementation
    encoder: str = ""
    text: str = ""
    changed: tuple[str, ...] = ()  # `key=value` where the setting differs from what `avgzsl run` would use, or from a sibling
    recipe: str = ""
    source: str = "measured"
    n: int = 0
    floor: bool = False
    from_abstract: bool = False  # re-implemented from it: never ranked, nor beside published numbers
    seeded: bool = True  # False: every seed gives the same result
    tie_group: int | None = None  # 1 holds the best row and all that are not separated from it
    test_selected: bool = False
    setting_id: str = ""
    measured: Mapping[str, Cell] = field(default_factory=lambda: dict.fromkeys(METRICS, Cell()))
    unshared: Cell = Cell()  # S over the clips whose source video does not stand in training
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)  # unit -> metric -> 95 % bootstrap interval
    versus: Versus | None = None
    published: Mapping[str, Cell] = field(default_factory=lambda: dict.fromkeys(METRICS, Cell(source="published")))
    against: Mapping[str, Verdict] = field(default_factory=dict)  # metric -> the printed number against the measured ones
    printed_in: str = ""
    notes: tuple[str, ...] = ()
    runs: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)  # the records behind it

    @property
    def whole(self) -> bool:
        """Whether every measured cell has a number."""
        return all(cell.mean is not None for cell in self.measured.values())

    @property
    def rankable(self) -> bool:
        """Measured here, whole, not a floor, not known from an abstract alone and not selected on test."""
        barred = self.floor or self.from_abstract or self.test_selected
        return self.source == "measured" and self.whole and not barred

    def over(self, unit: str, metric: str = "harmonic_mean") -> Interval | None:
        """The bootstrap interval of a metric over clips, source videos or classes, where it is known."""
        return self.intervals.get(unit, {}).get(metric)


def pooled(values: Sequence[float | None], source: str = "measured") -> Cell:
    """Mean and 95 % t interval of one metric over runs, from fractions to per cent; missing where any run lacks it."""
    numbers = [100 * value for value in values if value is not None and math.isfinite(value)]
    if not numbers or len(numbers) < len(values):
        return Cell(n=len(values), source=source)
    return Cell(statistics.fmean(numbers), significance.t_half_width(numbers), len(numbers), source)

"""Cells and rows of a leaderboard: numbers in per cent that know their interval, count, source and footnotes."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

METRICS = {"seen": "S", "unseen": "U", "harmonic_mean": "HM", "zero_shot": "ZSL"}
DASH = "–"


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
    rank: int | None = None
    test_selected: bool = False
    setting_id: str = ""
    measured: Mapping[str, Cell] = field(default_factory=lambda: dict.fromkeys(METRICS, Cell()))
    published: Mapping[str, Cell] = field(default_factory=lambda: dict.fromkeys(METRICS, Cell(source="published")))
    printed_in: str = ""
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every measured cell has a number."""
        return all(cell.mean is not None for cell in self.measured.values())

    @property
    def rankable(self) -> bool:
        """Measured here, whole, not a floor, not known from an abstract alone and not selected on test."""
        barred = self.floor or self.from_abstract or self.test_selected
        return self.source == "measured" and self.whole and not barred


def pooled(values: Sequence[float | None], source: str = "measured") -> Cell:
    """Mean and 95 % t interval of one metric over runs, from fractions to per cent; missing where any run lacks it."""
    numbers = [100 * value for value in values if value is not None and math.isfinite(value)]
    if not numbers or len(numbers) < len(values):
        return Cell(n=len(values), source=source)
    return Cell(statistics.fmean(numbers), half_width(numbers), len(numbers), source)


def half_width(numbers: Sequence[float]) -> float | None:
    """t_{0.975, n-1} · s / √n, with s the sample standard deviation; None for one number."""
    from scipy.special import stdtrit

    n = len(numbers)
    return float(stdtrit(n - 1, 0.975)) * statistics.stdev(numbers) / math.sqrt(n) if n > 1 else None

"""Whether printed numbers can be true: HM against the printed S and U, and U against ZSL."""

from decimal import Decimal

import numpy as np

from avgzsl_bench import metrics
from avgzsl_bench.published import PublishedRow

SLACK = 1e-9  # for the float arithmetic, far below any printed digit


def half_digit(row: PublishedRow) -> float:
    """Half a unit of the last printed digit.

    Trailing zeros are lost in TOML, so the digits are those of the row's longest number: never stricter than the print.
    """
    numbers = [n for n in (row.seen, row.unseen, row.harmonic_mean, row.zero_shot) if n is not None]
    return 0.5 * 10.0 ** min((min(int(Decimal(str(n)).normalize().as_tuple().exponent), 0) for n in numbers), default=0)


def harmonic_mean_range(row: PublishedRow) -> tuple[float, float]:
    """Smallest and largest HM of all S and U that round to the printed ones. HM grows with both, so two corners suffice."""
    assert row.seen is not None
    assert row.unseen is not None
    half = half_digit(row)
    low = _harmonic_mean(max(row.seen - half, 0), max(row.unseen - half, 0))
    return low, _harmonic_mean(row.seen + half, row.unseen + half)


def _harmonic_mean(seen: float, unseen: float) -> float:
    return float(metrics.harmonic_mean(np.float64(seen), np.float64(unseen)))


def harmonic_mean_fault(row: PublishedRow) -> str:
    """The arithmetic, where the printed HM cannot follow from the printed S and U; else nothing."""
    if row.seen is None or row.unseen is None or row.harmonic_mean is None:
        return ""
    low, high = harmonic_mean_range(row)
    half = half_digit(row) + SLACK
    if low - half <= row.harmonic_mean <= high + half:
        return ""
    return (
        f"{_where(row)}: the printed HM {row.harmonic_mean:.2f} cannot follow from the printed S and U: "
        f"2 · {row.seen:.2f} · {row.unseen:.2f} / ({row.seen:.2f} + {row.unseen:.2f}) = "
        f"{_harmonic_mean(row.seen, row.unseen):.2f}, and every S and U that round to them give {low:.3f} to {high:.3f}."
    )


def zero_shot_fault(row: PublishedRow) -> str:
    """One sentence where U exceeds ZSL by more than rounding, which no system with one score a class can do; else nothing."""
    if row.unseen is None or row.zero_shot is None or row.unseen - row.zero_shot <= 2 * half_digit(row) + SLACK:
        return ""
    return (
        f"{_where(row)}: the printed U {row.unseen:.2f} exceeds the printed ZSL "
        f"{row.zero_shot:.2f}, though a clip that is right among all classes is right among the unseen ones."
    )


def seen_remark(row: PublishedRow) -> str:
    """One sentence where S is not printed and would be below U; else nothing.

    S = HM · U / (2 · U − HM) follows from the harmonic mean; it is below U where HM is.
    """
    if row.seen is not None or row.unseen is None or row.harmonic_mean is None or row.harmonic_mean >= row.unseen:
        return ""
    implied = row.harmonic_mean * row.unseen / (2 * row.unseen - row.harmonic_mean)
    return (
        f"{_where(row)}: the printed HM {row.harmonic_mean:.2f} is below the printed U {row.unseen:.2f}, so that S, which is not "
        f"printed, would be {implied:.2f}, below U too."
    )


def _where(row: PublishedRow) -> str:
    return f"{row.label} on {row.dataset}, {row.printed_in}"

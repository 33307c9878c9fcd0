"""Whether printed and recorded numbers can be true: HM against S and U, U against ZSL, and one table against another."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from avgzsl_bench import metrics
from avgzsl_bench.board.cells import METRICS
from avgzsl_bench.published import PublishedRow

SLACK = 1e-9  # for the float arithmetic, far below any printed digit


class Finding(NamedTuple):
    """What is wrong with one printed number, in one sentence; a remark says what is odd, not what is impossible."""

    row: PublishedRow
    metric: str
    sentence: str
    remark: bool = False


class Count(NamedTuple):
    """What was checked of one paper. A pair counts for the row that is compared with an earlier one."""

    key: str
    rows: int
    harmonic_means: int
    zero_shots: int
    pairs: int


def findings(rows: Iterable[PublishedRow]) -> list[Finding]:
    """Every fault and remark about printed rows, in the order of the rows."""
    every = list(rows)
    found = [finding for row in every for finding in _own(row)] + [*_copies(every), *_columns(every), *_twins(every)]
    order = {id(row): i for i, row in enumerate(every)}
    return sorted(found, key=lambda finding: order[id(finding.row)])


def footnotes(rows: Iterable[PublishedRow]) -> dict[tuple[PublishedRow, str], list[str]]:
    """The sentences of `findings` by row and metric, as tables show them."""
    found: dict[tuple[PublishedRow, str], list[str]] = defaultdict(list)
    for finding in findings(rows):
        found[finding.row, finding.metric].append(finding.sentence)
    return dict(found)


def counts(rows: Iterable[PublishedRow]) -> list[Count]:
    """What `findings` checks, paper by paper."""
    every = list(rows)
    compared = Counter(second.key for _, second in pairs(every))
    return [_count([row for row in every if row.key == key], compared[key]) for key in dict.fromkeys(row.key for row in every)]


def _count(rows: Sequence[PublishedRow], compared: int) -> Count:
    means = sum({"seen", "unseen", "harmonic_mean"} <= row.numbers.keys() for row in rows)
    zero_shots = sum({"unseen", "zero_shot"} <= row.numbers.keys() for row in rows)
    return Count(rows[0].key, len(rows), means, zero_shots, compared)


# one printed row


def _own(row: PublishedRow) -> Iterator[Finding]:
    checks = (
        ("harmonic_mean", harmonic_mean_fault, False),
        ("unseen", zero_shot_fault, False),
        ("harmonic_mean", seen_remark, True),
    )
    for metric, check, remark in checks:
        if sentence := check(row):
            yield Finding(row, metric, sentence, remark)


def half_digit(row: PublishedRow) -> float:
    """Half a unit of the last printed digit.

    Trailing zeros are lost in TOML, so the digits are those of the row's longest number: never stricter than the print.
    """
    return 0.5 * 10.0 ** min(
        (min(int(Decimal(str(n)).normalize().as_tuple().exponent), 0) for n in row.numbers.values()), default=0
    )


def harmonic_mean_range(row: PublishedRow) -> tuple[float, float]:
    """Smallest and largest HM of all S and U that round to the printed ones. HM grows with both, so two corners suffice.

    S that is not printed is anything, and so is U, up to the printed ZSL.
    """
    half = half_digit(row)
    seen = _box(row.seen, half) or (0.0, 100.0)
    unseen = _box(row.unseen, half) or (0.0, (_box(row.zero_shot, half) or (0.0, 100.0))[1])
    return _harmonic_mean(seen[0], unseen[0]), _harmonic_mean(seen[1], unseen[1])


def _box(value: float | None, half: float) -> tuple[float, float] | None:
    return None if value is None else (max(value - half, 0.0), min(value + half, 100.0))


def _harmonic_mean(seen: float, unseen: float) -> float:
    return float(metrics.harmonic_mean(np.float64(seen), np.float64(unseen)))


def harmonic_mean_fault(row: PublishedRow) -> str:
    """The arithmetic, where the printed HM cannot follow from what else is printed; else nothing."""
    if row.harmonic_mean is None:
        return ""
    low, high = harmonic_mean_range(row)
    half = half_digit(row) + SLACK
    if low - half <= row.harmonic_mean <= high + half:
        return ""
    if row.seen is None or row.unseen is None:
        known = _list({metric: value for metric, value in row.numbers.items() if metric != "harmonic_mean"})
        return (
            f"{_where(row)}: the printed HM {row.harmonic_mean:.2f} is above {high:.3f}, the most that the printed {known} allow."
        )
    return (
        f"{_where(row)}: the printed HM {row.harmonic_mean:.2f} cannot follow from the printed S and U: "
        f"2 · {row.seen:.2f} · {row.unseen:.2f} / ({row.seen:.2f} + {row.unseen:.2f}) = "
        f"{_harmonic_mean(row.seen, row.unseen):.2f}, and every S and U that round to them give {low:.3f} to {high:.3f}."
    )


def zero_shot_fault(row: PublishedRow) -> str:
    """One sentence where U exceeds ZSL, which no system with one score a class can do; else nothing.

    Rounding keeps the order, so that it explains no difference, however small.
    """
    if row.unseen is None or row.zero_shot is None or row.unseen - row.zero_shot <= SLACK:
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


# one printed row against another


def pairs(rows: Iterable[PublishedRow]) -> Iterator[tuple[PublishedRow, PublishedRow]]:
    """Rows that should agree, the more trustworthy first: same system, data, variant and text, and a number in common."""
    groups: dict[tuple[str, ...], list[PublishedRow]] = defaultdict(list)
    for row in sorted(rows, key=_trust):
        groups[row.place].append(row)
    for group in groups.values():
        for first, second in combinations(group, 2):
            if _common(first, second) and _same_text(first, second):
                yield first, second


def _trust(row: PublishedRow) -> tuple[bool, bool]:
    """Read in the paper itself before elsewhere, features stated before found."""
    return bool(row.via), not row.stated


def _same_text(first: PublishedRow, second: PublishedRow) -> bool:
    """Whether both can be about the same class text; what is not stated can be any."""
    return all(not a or not b or a == b for a, b in ((first.encoder, second.encoder), (first.text, second.text)))


def differing(first: PublishedRow, second: PublishedRow) -> list[str]:
    """The metrics in which two rows differ by more than the rounding of the one with fewer digits."""
    half = max(half_digit(first), half_digit(second)) + SLACK
    return [metric for metric, value in _common(first, second).items() if abs(value - second.numbers[metric]) > half]


def _common(row: PublishedRow, other: PublishedRow) -> dict[str, float]:
    """What a row prints of what another prints too."""
    return {metric: value for metric, value in row.numbers.items() if metric in other.numbers}


def _copies(rows: Sequence[PublishedRow]) -> Iterator[Finding]:
    """Rows that print other numbers than a more trustworthy row of the same system, told once a row."""
    told: set[int] = set()
    for first, second in pairs(rows):
        other = differing(first, second)
        if other and id(second) not in told:
            told.add(id(second))
            here, there = (_list({metric: row.numbers[metric] for metric in other}) for row in (second, first))
            sentence = f"{_where(second)}: {here}, where {first.printed_in} has {there} for the same system, features and split."
            yield Finding(second, "harmonic_mean" if "harmonic_mean" in other else other[0], sentence)


def _columns(rows: Sequence[PublishedRow]) -> Iterator[Finding]:
    """Columns of a table without stated features that repeat another table of its paper than most of it does."""
    groups: dict[tuple[str, str, str], list[PublishedRow]] = defaultdict(list)
    for row in rows:
        if not (row.stated or row.variant or row.via):
            groups[row.key, row.method, row.table].append(row)
    for group in groups.values():
        same = [[own for own in _stated(row, rows) if not differing(own, row)] for row in group]
        tables = Counter(own.table for found in same for own in found)
        usual = max(tables, key=tables.__getitem__, default="")
        like = [usual in {own.table for own in found} for found in same]
        where = " and ".join(row.dataset for row, fits in zip(group, like, strict=True) if fits)
        for row, found, fits in zip(group, same, like, strict=True):
            if found and not fits:
                other = [own for own in _stated(row, rows) if own.table == usual]
                repeats = f"the numbers on {where} are those of Table {usual}"
                yield Finding(row, "harmonic_mean", f"{_column(row, found, other)}; {repeats}.")


def _stated(row: PublishedRow, rows: Sequence[PublishedRow]) -> list[PublishedRow]:
    """What the same paper prints of the same system where it says of which features."""
    same = [own for own in rows if own.stated and own.key == row.key and not (own.via or own.variant)]
    return [own for own in same if (own.method, own.dataset) == (row.method, row.dataset) and _common(own, row)]


def _column(row: PublishedRow, same: Sequence[PublishedRow], other: Sequence[PublishedRow]) -> str:
    """The numbers of a row, which tables have the same ones, and which others."""
    places = " and ".join(_features(own) for own in same)
    there = "".join(f", and not {_list(_common(own, row))} as in {_features(own)}" for own in other)
    return f"{_where(row)}: {_list(row.numbers)} as in {places}{there}"


def _features(row: PublishedRow) -> str:
    return f"{row.printed_in} ({row.features}, {row.split})"


def _twins(rows: Sequence[PublishedRow]) -> Iterator[Finding]:
    """Rows that have all four numbers of another system on the same data set, told once a row."""
    earlier: dict[tuple[str, ...], list[PublishedRow]] = defaultdict(list)
    for row in sorted(rows, key=_trust):
        if len(row.numbers) == len(METRICS):
            same = earlier[row.dataset, *map(str, row.numbers.values())]
            for other in [own for own in same if own.method != row.method][:1]:
                twin = f"all four numbers of {other.label} in {other.printed_in}; copying may have slipped"
                yield Finding(row, "harmonic_mean", f"{_where(row)}: {_list(row.numbers)} are {twin}.")
            same.append(row)


def _list(numbers: Mapping[str, float]) -> str:
    """`S 1.00, U 2.00 and HM 3.00`."""
    parts = [f"{METRICS[metric]} {value:.2f}" for metric, value in numbers.items()]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _where(row: PublishedRow) -> str:
    return f"{row.label} on {row.dataset}, {row.printed_in}"


# one run


def record_findings(record: Mapping[str, Any]) -> list[str]:
    """What cannot be true of the numbers of one run, a sentence each.

    Not for means over runs: a mean of HMs need not follow from the mean S and U.
    """
    main = _mapping(record.get("metrics"))
    unbiased, unshared = _mapping(main.get("at_bias_0")), _mapping(main.get("unshared"))
    numbers = {key: main.get(key) for key in METRICS}
    numbers |= {key: main[key] for key in ("ausuc", "oracle_harmonic_mean") if key in main}
    numbers |= {f"at_bias_0.{key}": value for key, value in unbiased.items()}
    numbers |= {"unshared.seen": unshared["seen"]} if unshared.get("seen") is not None else {}
    faults = [f"{key} is {value!r}, no fraction from 0 to 1." for key, value in numbers.items() if not _fraction(value)]
    sound = {key: value for key, value in numbers.items() if _fraction(value)}
    for name in ("", "at_bias_0."):
        seen, unseen, mean = (sound.get(f"{name}{key}", math.nan) for key in ("seen", "unseen", "harmonic_mean"))
        faults += _follows(name, seen, unseen, mean, sound.get("zero_shot", math.nan))
    return faults


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _fraction(value: Any) -> TypeGuard[float]:
    return isinstance(value, float | int) and not isinstance(value, bool) and -SLACK <= value <= 1 + SLACK


def _follows(name: str, seen: float, unseen: float, mean: float, zero_shot: float) -> Iterator[str]:
    """HM = 2SU / (S + U), and U is at most ZSL; NaN is compared with nothing."""
    follows = _harmonic_mean(seen, unseen)
    if not math.isnan(seen + unseen) and abs(follows - mean) > SLACK:
        arithmetic = f"2 · {seen:.10g} · {unseen:.10g} / ({seen:.10g} + {unseen:.10g}) = {follows:.10g}"
        yield f"{name}harmonic_mean {mean:.10g} does not follow from its seen and unseen: {arithmetic}."
    if unseen - zero_shot > SLACK:
        why = "a clip that is right among all classes is right among the unseen ones"
        yield f"{name}unseen {unseen:.10g} exceeds zero_shot {zero_shot:.10g}, though {why}."

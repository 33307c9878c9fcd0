"""How sure the numbers of a section are: bootstrap intervals, tie groups, and printed numbers against prediction intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from avgzsl_bench import metrics, records, significance
from avgzsl_bench.board.cells import METRICS, UNITS, Cell, Interval, Row, Verdict, Versus
from avgzsl_bench.board.outcomes import outcomes
from avgzsl_bench.significance import Comparison, Outcomes, Resampled, Unit

NAMED = 12  # classes named in a remark
REPLICATES: Mapping[Unit, int] = MappingProxyType({"clips": significance.REPLICATES, "videos": 1_999, "classes": 1_999})
"""Those over clips make p values too, which need more than an interval does."""


def judged(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Rows (best first) with their intervals, comparisons and tie groups; and what is to be said of the whole section."""
    known = {i: found for i, row in enumerate(rows) if row.runs and (found := outcomes(row.runs))}
    drawn: dict[Unit, dict[int, Resampled]] = {unit: _resampled(unit, known) for unit in UNITS}
    result = [
        replace(row, intervals={unit: _intervals(own[i]) for unit, own in drawn.items() if i in own})
        for i, row in enumerate(rows)
    ]
    result = _ranked(result, known, drawn["clips"])
    return result, [*_dominant(result, known), *_unshared(rows)]


def _resampled(unit: Unit, known: Mapping[int, Outcomes]) -> dict[int, Resampled]:
    """The replicates of each row, at the same draws for all rows of the same test clips."""
    found: dict[int, Resampled] = {}
    rest = {i: one for i, one in known.items() if unit != "videos" or one.video is not None}
    while rest:
        first = next(iter(rest.values()))
        same = {i: one for i, one in rest.items() if significance.same_clips(first, one)}
        found |= dict(zip(same, significance.bootstrap(list(same.values()), unit, REPLICATES[unit]), strict=True))
        rest = {i: one for i, one in rest.items() if i not in same}
    return found


def _intervals(drawn: Resampled) -> dict[str, Interval]:
    found = {metric: drawn.interval(metric) for metric in METRICS}
    return {metric: Interval(100 * ends[0], 100 * ends[1]) for metric, ends in found.items() if ends}


# tie groups


def _ranked(rows: Sequence[Row], known: Mapping[int, Outcomes], drawn: Mapping[int, Resampled]) -> list[Row]:
    """Rows with their tie groups, and each compared with the best of the key; of other test clips it cannot be told apart."""
    places = [i for i, row in enumerate(rows) if row.rankable]
    if not places:
        return list(rows)
    found: dict[tuple[int, int], Comparison | None] = {}

    def compared(first: int, second: int) -> Comparison | None:
        pair = one, other = places[first], places[second]
        if pair not in found:
            same = one in known and other in known and significance.same_clips(known[one], known[other])
            found[pair] = significance.compare(drawn[one], drawn[other]) if same else None
        return found[pair]

    def p_value(first: int, second: int) -> float | None:
        comparison = compared(first, second)
        return comparison.p if comparison else None

    groups = significance.tie_groups(len(places), p_value)
    adjusted = significance.holm([p_value(0, other) for other in range(1, len(places))])
    result, best = list(rows), rows[places[0]]
    for place, i in enumerate(places):
        versus = _versus(best, rows[i], compared(0, place), adjusted[place - 1]) if place else None
        result[i] = replace(rows[i], tie_group=groups[place], versus=versus)
    return result


def _versus(best: Row, row: Row, comparison: Comparison | None, p: float | None) -> Versus:
    means = [one.measured["harmonic_mean"].mean or 0.0 for one in (row, best)]
    if comparison is None:
        return Versus(best.name, means[0] - means[1])
    return Versus(best.name, means[0] - means[1], comparison.seeds, comparison.clips.p, comparison.together, p)


# printed numbers


def verdicts(row: Row, printed: Mapping[str, Cell]) -> dict[str, Verdict]:
    """Each printed number against the runs of a row: the difference, and whether one more run could give it."""
    found = {}
    for metric, cell in printed.items():
        own = row.measured[metric].mean
        if cell.mean is None or own is None or row.source != "measured":
            continue
        ends = significance.prediction_interval([100 * run["metrics"][metric] for run in row.runs]) if row.seeded else None
        interval = Interval(*ends) if ends else None
        within = interval.low <= cell.mean <= interval.high if interval else None
        found[metric] = Verdict(own - cell.mean, interval, within)
    return found


# what is said of a section


def _dominant(rows: Sequence[Row], known: Mapping[int, Outcomes]) -> Iterator[str]:
    """What the best row's HM depends on most."""
    best = next((i for i, row in enumerate(rows) if row.rankable and i in known), None)
    if best is None:
        return
    row, cell = rows[best], rows[best].measured["harmonic_mean"]
    ends = {unit: interval for unit in UNITS if (interval := row.over(unit))}
    widths = {unit: interval.high - interval.low for unit, interval in ends.items()}
    told = [] if cell.half_width is None else [f"± {cell.half_width:.1f} over seeds"]
    told += [f"{interval} over {unit}" for unit, interval in ends.items()]
    count = len(np.unique(known[best].label[known[best].unseen]))
    yield f"The best HM, {cell.mean:.1f} of {row.name}, is uncertain by {', '.join(told)} (95 %)."
    if widths and max(widths, key=lambda unit: widths[unit]) == "classes" and widths["classes"] > 2 * (cell.half_width or 0):
        yield f"Which {count} unseen classes are tested decides more than anything else: few classes dominate the error."


def _unshared(rows: Sequence[Row]) -> Iterator[str]:
    """How many seen test clips show a video that training has seen, and which classes have no others."""
    run = next((run for row in rows for run in row.runs if run["metrics"].get("unshared")), None)
    decisions = records.decisions(run) if run else None
    if run is None or decisions is None:
        return
    clips, left = int(np.isin(decisions.label, _seen(run, decisions)).sum()), run["metrics"]["unshared"]["clips"]
    if left == clips:
        return
    yield f"{clips - left} of {clips} seen test clips are of a source video that also stands in training."
    if left:
        without = list(_without(run, decisions))
        named = f", which leaves out {_some(without)}" if without else ""
        yield f"S unshared is S over the other {left}, of {run['metrics']['unshared']['classes']} classes{named}."
    else:
        yield "No seen test clip is of another video, so there is no S without them."


def _seen(run: Mapping[str, Any], decisions: metrics.Decisions) -> list[int]:
    """Ids of the seen classes: every class of the split has clips."""
    ids: list[int] = np.unique(decisions.label)[~np.array(run["per_class"]["unseen"])].tolist()
    return ids


def _without(run: Mapping[str, Any], decisions: metrics.Decisions) -> Iterator[str]:
    names = dict(zip(np.unique(decisions.label).tolist(), run["per_class"]["name"], strict=True))
    seen = _seen(run, decisions)
    left = metrics.unshared_clips(decisions, seen)
    if left is not None:
        yield from (names[label] for label, clips in zip(seen, left, strict=True) if not clips)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)}: {', '.join(names[:NAMED])}{more}"

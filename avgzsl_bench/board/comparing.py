"""Two settings side by side: their numbers with every interval, the tests of their HM, and the classes they differ in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from avgzsl_bench import precision, significance
from avgzsl_bench.board.cells import METRICS, Cell, pooled
from avgzsl_bench.board.measured import ELSEWHERE, Group, short
from avgzsl_bench.board.outcomes import outcomes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.significance import Comparison, Interval, Outcomes, Resampled, Unit

SAME = ("dataset", "dataset_revision", "features", "split", "synthetic")
"""What two settings must share: else their numbers are of different questions."""
KEYS = {
    "rules": ("rules",),
    "form": ("form",),
    "class text": ("encoder", "encoder_settings", "text", "text_sha256"),
    "protocol": ("protocol", "protocol_version"),
}
"""What may differ, and is then said before any number, since the board would not rank them."""
NAMES = ("A", "B")


class Line(NamedTuple):
    """One metric of both settings, in per cent; an interval is None where it cannot be told."""

    cells: tuple[Cell, Cell]
    difference: float  # of the means, A − B
    intervals: Mapping[Unit, tuple[Interval | None, Interval | None, Interval | None]]  # of A, of B, of A − B


class ClassLine(NamedTuple):
    """The accuracy of one class among all classes, in per cent, mean over the runs."""

    name: str
    unseen: bool
    clips: int
    first: float
    second: float

    @property
    def difference(self) -> float:
        """A − B."""
        return self.first - self.second


@dataclass(frozen=True)
class Compared:
    """What `avgzsl compare` shows."""

    groups: tuple[Group, Group]
    cautions: tuple[str, ...]  # to be read before any number
    lines: Mapping[str, Line]
    tests: Comparison  # of HM, as fractions
    classes: tuple[ClassLine, ...]  # largest difference first
    verdict: str

    @property
    def title(self) -> str:
        """What the numbers are of, saying so where the data are synthetic."""
        own = self.groups[0].identity
        return " · ".join([*(own[key] for key in ("dataset", "features", "split")), *["SYNTHETIC data"] * bool(own["synthetic"])])

    def classes_of(self, unseen: bool, most: int) -> list[ClassLine]:
        """The classes, seen or unseen, in which the two differ most."""
        return [one for one in self.classes if one.unseen == unseen and one.difference][:most]


def compare(first: Group, second: Group) -> Compared:
    """Compare two settings. Raises AvgzslError where they are of different data, share a run, or lack decisions."""
    groups = (first, second)
    _check(groups)
    found = [_outcomes(group) for group in groups]
    units: list[Unit] = ["clips", "videos", "classes"]
    if all(one.video is None for one in found):
        units.remove("videos")
    drawn = {unit: significance.bootstrap(found, unit) for unit in units}
    lines = {metric: _line(groups, drawn, metric) for metric in METRICS}
    tests = significance.compare(drawn["clips"][0], drawn["clips"][1])
    names = [f"{name} ({group.identity['method']})" for name, group in zip(NAMES, groups, strict=True)]
    single = [name for name, one in zip(names, found, strict=True) if one.seeded and one.correct.shape[1] == 1]
    verdict = _verdict(names, single, tests, lines["harmonic_mean"].intervals["classes"][2])
    return Compared(groups, tuple(_cautions(groups)), lines, tests, tuple(_classes(groups)), verdict)


def _check(groups: Sequence[Group]) -> None:
    first, second = (group.identity for group in groups)
    same = [*SAME, *(["features_sha256"] if first.get("temporal") == second.get("temporal") else [])]
    apart = [key for key in same if first.get(key) != second.get(key)]
    if apart:
        said = "; ".join(f"{key} {short(first.get(key))} and {short(second.get(key))}" for key in apart)
        raise AvgzslError(f"these cannot be compared, they are of different data: {said}; name two settings of one data set")
    runs = [{record["run_id"] for record in group.records} for group in groups]
    if both := runs[0] & runs[1]:
        raise AvgzslError(f"run {min(both)} stands on both sides; name two settings")


def _outcomes(group: Group) -> Outcomes:
    found = outcomes(group.records)
    if found is None:
        name, setting = group.identity["method"], group.records[0]["setting_id"]
        raise AvgzslError(f"setting {setting} ({name}) has a run without its decisions, which the tests need; run it again")
    return found


def _line(groups: tuple[Group, Group], drawn: Mapping[Unit, Sequence[Resampled]], metric: str) -> Line:
    first, second = (pooled([record["metrics"][metric] for record in group.records]) for group in groups)
    intervals = {unit: _intervals(pair[0], pair[1], metric) for unit, pair in drawn.items()}
    return Line((first, second), (first.mean or 0.0) - (second.mean or 0.0), intervals)


def _intervals(first: Resampled, second: Resampled, metric: str) -> tuple[Interval | None, Interval | None, Interval | None]:
    between = first._replace(**{metric: getattr(first, metric) - getattr(second, metric)})  # the same draws, so they pair
    a, b, c = (one.interval(metric) for one in (first, second, between))
    return _percent(a), _percent(b), _percent(c)


def _percent(found: Interval | None) -> Interval | None:
    return found and (100 * found[0], 100 * found[1])


def _classes(groups: Sequence[Group]) -> list[ClassLine]:
    first = groups[0].records[0]["per_class"]
    accuracy = [np.mean([_accuracy(record) for record in group.records], axis=0) for group in groups]  # (classes,) each
    rows = zip(first["name"], first["unseen"], first["clips"], *(values.tolist() for values in accuracy), strict=True)
    return sorted((ClassLine(*row) for row in rows), key=lambda one: (-abs(one.difference), one.name))


def _accuracy(record: Mapping[str, Any]) -> Any:
    return 100 * np.array(record["per_class"]["correct"]) / record["per_class"]["clips"]


def as_dict(found: Compared) -> dict[str, Any]:
    """Everything, for machines: numbers in per cent, p as they are, null for what cannot be told."""
    tests = found.tests._asdict() | {"clips": found.tests.clips.p}
    paired = {f"{key}_percent": 100 * getattr(found.tests.clips, key) for key in ("difference", "low", "high")}
    return {
        "synthetic": bool(found.groups[0].identity["synthetic"]),
        **{name.lower(): _side(group) for name, group in zip(NAMES, found.groups, strict=True)},
        "cautions": list(found.cautions),
        "metrics": {metric: _numbers(line) for metric, line in found.lines.items()},
        "harmonic_mean_p": {key: tests[key] for key in ("seeds", "clips", "together", "p")},
        "harmonic_mean_of_seed_averaged": paired,
        "separated": None if found.tests.p is None else significance.separated(found.tests.p),
        "verdict": found.verdict,
        "classes": [one._asdict() | {"difference": one.difference} for one in found.classes],
    }


def _side(group: Group) -> dict[str, Any]:
    first, identity = group.records[0], {key: value for key, value in group.identity.items() if key != "seed"}
    runs = {record["run_id"]: record["identity"]["seed"] for record in group.records}
    return {"setting_id": first["setting_id"], "seeds_of_runs": runs, "identity": identity, "settings": group.settings}


def _numbers(line: Line) -> dict[str, Any]:
    sides = [{"mean_percent": cell.mean, "half_width_percent": cell.half_width} for cell in line.cells]
    return {
        **{name.lower(): side for name, side in zip(NAMES, sides, strict=True)},
        "difference_percent": line.difference,
        "intervals_percent": {
            unit: dict(zip(("a", "b", "difference"), found, strict=True)) for unit, found in line.intervals.items()
        },
    }


# words


def about(group: Group) -> str:
    """One setting in a line."""
    own, n = group.identity, len(group.records)
    parts = [own["method"], f"form {own['form']}", f"{own['encoder']} of {own['text']}", f"rules {own['rules']}"]
    if own.get("precision", precision.USUAL) != precision.USUAL:
        parts.append(f"precision {own['precision']}")
    return " · ".join([*parts, f"setting {group.records[0]['setting_id']}", f"{n} run{'s' * (n > 1)}"])


def _cautions(groups: Sequence[Group]) -> Iterator[str]:
    """What must be known before the numbers: what they are of, and why this is no rank."""
    first, second = (group.identity for group in groups)
    if first["synthetic"]:
        yield "SYNTHETIC data: these numbers say nothing about real clips."
    for what, keys in KEYS.items():
        apart = [key for key in keys if first.get(key) != second.get(key)]
        if apart:
            said = _apart(first, second, [key for key in apart if key != "text_sha256"] or apart)
            yield f"DIFFERENT {what}: {said}. The board ranks within one {what} only, so this is a comparison and no rank."
    if first.get("precision", precision.USUAL) != second.get("precision", precision.USUAL):
        yield f"Computed otherwise: {_apart(first, second, ['precision'])}."
    for name, group in zip(NAMES, groups, strict=True):
        yield from (f"{name}: {said}" for said in _doubts(group))
    if first["method"] == second["method"]:
        yield from _changed(groups)


def _doubts(group: Group) -> Iterator[str]:
    first, method = group.records[0], group.identity["method"]
    if first["selection"]["split"] == "test":
        yield "epoch and seen bias were chosen on the test set."
    if first["source"] in ELSEWHERE:
        yield ELSEWHERE[first["source"]]
    if group.identity.get("known_from") == "abstract":
        yield f"{method} is a re-implementation from the abstract."
    if group.identity.get("temporal"):
        yield f"{method} reads clips as sequences of tokens."


def _changed(groups: Sequence[Group]) -> Iterator[str]:
    first, second = (group.settings for group in groups)
    apart = [key for key in sorted({*first, *second}) if first.get(key) != second.get(key) and key != "form"]
    if apart:
        yield f"Settings: {_apart(first, second, apart)}."


def _apart(first: Mapping[str, Any], second: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {short(first.get(key))} (A) and {short(second.get(key))} (B)" for key in keys)


def _verdict(names: Sequence[str], single: Sequence[str], tests: Comparison, over_classes: Interval | None) -> str:
    """One sentence. `single`: those of the names with one seeded run; `over_classes`: interval of A − B in HM, in points."""
    ahead, behind = names if tests.difference >= 0 else names[::-1]
    points = f"{abs(100 * tests.difference):.2f} points of HM"
    found = {"other seeds": tests.seeds, "other test clips": tests.clips.p, "both together": tests.together}
    said = [f"{what} ({p_text(p)})" for what, p in found.items() if p is not None]
    if tests.p is None:
        alone = f"over test clips alone {p_text(tests.clips.p)}"
        return f"Cannot tell: the spread of {_and(single)} over seeds is not known from one run; {alone}."
    if significance.separated(tests.p):
        doubt = ", though one class cannot tell how it is on others"
        if over_classes is not None:
            low, high = over_classes
            doubt = f", though other classes may turn it round ({low:+.2f} to {high:+.2f})" if low <= 0 <= high else ""
        return f"Separated: {ahead} is {points} ahead of {behind}, more than {_and(said)} make{doubt}."
    made = [f"{what} ({p_text(p)})" for what, p in found.items() if p is not None and not significance.separated(p)]
    if not made:
        return "Not separated: the mean of the runs' HM and the HM of their mean S and U put different ones ahead."
    return f"Not separated: {ahead} is {points} ahead of {behind}, no more than {_and(made)} make."


def p_text(p: float) -> str:
    """`p = 0.031`."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def _and(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + " and " * (len(parts) > 1) + parts[-1]

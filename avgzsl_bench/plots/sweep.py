"""Test and validation harmonic mean against one setting, such as KDA's λ, from records that differ in nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from avgzsl_bench import plugins
from avgzsl_bench.board.cells import Cell, pooled
from avgzsl_bench.board.measured import Group, Record, flat, short
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.plots import _paper, _subjects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEST = {"harmonic_mean": "test HM", "unseen": "test U", "zero_shot": "test ZSL"}
VALIDATION = "validation HM"
ASIDE = 2.4  # points between the intervals of one value, which would hide each other
MARGIN = 0.08  # of the width, beside the first and the last value
WIDE = 20.0  # ratio of the largest to the smallest value from which the axis is logarithmic


class Values(NamedTuple):
    """What was measured at each value of a setting, in per cent with t intervals over seeds."""

    key: str
    values: tuple[Any, ...]  # ascending where they are numbers
    test: dict[str, tuple[Cell, ...]]  # metric in TEST -> one for each value
    validation: tuple[Cell, ...]  # of stage 1, which selects
    chosen: dict[Any, int]  # value -> seeds of a search that chose it on validation


def values(groups: Sequence[Group], key: str) -> Values:
    """What is drawn: every run at the value that it was trained with, and a search's validation at every value it tried.

    Raises AvgzslError for settings that differ in something else, for a setting that they do not have, and for one value alone.
    """
    _subjects.together(groups)
    _check(groups, key)
    runs = [record for group in groups for record in group.records]
    trained = [(_trained_with(record, key), record) for record in runs]
    scored = {(_place(value), record["identity"]["seed"]): score for record in runs for value, score in _validated(record, key)}
    found = {_place(value): value for record in runs for value, _ in _validated(record, key)}
    found |= {_place(value): value for value, _ in trained}
    if len(found) < 2:
        raise AvgzslError(f"all these runs have {key}={short(next(iter(found.values())))}; name records of other values as well")
    order = _ordered(list(found.values()))
    at = [_distinct([record for own, record in trained if own == value]) for value in order]
    test = {metric: tuple(pooled([record["metrics"][metric] for record in own]) for own in at) for metric in TEST}
    validation = tuple(pooled([score for (own, _), score in scored.items() if own == _place(value)]) for value in order)
    winners = [value for value, record in trained if _search(record, key)]
    return Values(key, tuple(order), test, validation, {value: winners.count(value) for value in order if value in winners})


def _check(groups: Sequence[Group], key: str) -> None:
    known = {own for group in groups for own in group.settings}
    if lacking := [group for group in groups if key not in group.settings]:
        method = lacking[0].identity["method"]
        raise AvgzslError(plugins.unknown(f"setting of {method}", key, sorted(known), f"avgzsl show {method}"))
    facts = [_facts(group, key) for group in groups]
    for own in facts[1:]:
        if differing := sorted(name for name in own.keys() | facts[0].keys() if own.get(name) != facts[0].get(name)):
            name = differing[0]
            said = f"{short(facts[0].get(name))} and {short(own.get(name))}"
            raise AvgzslError(f"these records differ in {name} too ({said}); name only those that differ in {key}")


def _facts(group: Group, key: str) -> dict[str, Any]:
    shown = {name: group.identity[name] for name in ("method", "form", "encoder", "text")}
    return {
        name: value for name, value in ({**group.facts, **shown, "source": group.records[0]["source"]}).items() if name != key
    }


def _search(record: Record, key: str) -> Mapping[str, Any]:
    search = record["selection"].get("search") or {}
    return search if any(key in flat(point) for point in search.get("grid", ())) else {}


def _trained_with(record: Record, key: str) -> Any:
    search = _search(record, key)
    return flat(search["winner"])[key] if search else flat(record["settings"])[key]


def _validated(record: Record, key: str) -> list[tuple[Any, float]]:
    """Values of the setting with the validation HM that stage 1 reached at each."""
    selection, search = record["selection"], _search(record, key)
    if selection["split"] != "validation":
        return []
    if search:
        return [(flat(point)[key], score) for point, score in zip(search["grid"], search["values"], strict=True)]
    return [] if selection.get("value") is None else [(_trained_with(record, key), selection["value"])]


def _place(value: Any) -> str:
    return repr(float(value)) if _is_number(value) else repr(value)  # 1 and 1.0 are one value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(found: list[Any]) -> list[Any]:
    return sorted(found, key=lambda value: (not _is_number(value), value if _is_number(value) else 0, str(value)))


def _distinct(runs: Sequence[Record]) -> list[Record]:
    """One run a seed: a search that ends at a value gives what a run with that value gives."""
    return list({record["identity"]["seed"]: record for record in runs}.values())


def draw(groups: Sequence[Group], key: str, outs: Sequence[Path] = (), width: str = "column") -> list[Path]:
    """Draw what a setting does; returns the files. Raises AvgzslError as `values`, and for an unknown format or width."""
    own = groups[0].identity
    files = list(outs) or [Path(f"sweep-{key}-{own['method']}-{own['dataset']}.png")]
    _paper.check(files, width)
    found = values(groups, key)
    about = _subjects.about(groups[0], own["method"])
    return _paper.write(lambda: _figure(found, about, width), files)


def _figure(found: Values, about: str, width: str) -> "Figure":
    figure = _paper.figure(width, 2.7, about)
    axes: Axes = figure.add_subplot()
    places = _scale(axes, found)
    lines = [(TEST[metric], cells) for metric, cells in found.test.items()] + [(VALIDATION, found.validation)]
    for number, (label, cells) in enumerate(lines):
        _draw_line(axes, places, cells, label, number)
    for i, value in enumerate(found.chosen):
        label = "_" if i else "chosen by seeds of a search"  # one entry of the legend for all
        axes.axvline(places[found.values.index(value)], color="#999999", linewidth=0.8, zorder=0, label=label)
    axes.set_xlabel(found.key)
    axes.set_ylabel("HM, U, ZSL (%)")
    _bounds(axes, places, [cell for _, cells in lines for cell in cells])
    figure.legend(loc="outside lower center", ncols=4 if width == "page" else 2)
    return figure


def _scale(axes: "Axes", found: Values) -> list[float]:
    """The place of each value, and what is written below it."""
    numbers = [float(value) for value in found.values if _is_number(value)]
    wide = bool(numbers) and max(numbers) - min(numbers) > WIDE * abs(min(numbers))
    if len(numbers) < len(found.values) or (wide and min(numbers) <= 0):
        places = [float(i) for i in range(len(found.values))]  # words, or numbers that no axis spreads
    else:
        places = numbers
        axes.set_xscale("log" if wide else "linear")
    below = [_below(found, i) for i in range(len(places))]
    high = max(map(len, below))
    axes.set_xticks(places, ["\n".join([*lines, *[""] * (high - len(lines))]) for lines in below])  # all numbers on one line
    axes.minorticks_off()
    return places


def _bounds(axes: "Axes", places: Sequence[float], cells: Sequence[Cell]) -> None:
    """Room for all intervals, but for what no accuracy can reach: few seeds make them that long."""
    ends = [cell.mean + side * (cell.half_width or 0.0) for cell in cells for side in (-1, 1) if cell.mean is not None]
    axes.set_ylim(max(min(ends) - 3, 0), min(max(ends) + 3, 100))
    low, high = min(places), max(places)
    if axes.get_xscale() == "log":
        axes.set_xlim(low / (high / low) ** MARGIN, high * (high / low) ** MARGIN)
    else:
        axes.set_xlim(low - (high - low) * MARGIN, high + (high - low) * MARGIN)


def _below(found: Values, i: int) -> list[str]:
    counts = [cell.n for cell in found.test["harmonic_mean"]]
    value = found.values[i]
    lines = [f"{value:g}" if _is_number(value) else short(value)]
    if len(set(counts)) > 1:
        lines.append(f"n = {counts[i]}" if counts[i] else "not run")
    if value in found.chosen:
        lines.append(f"chosen: {found.chosen[value]}")
    return lines


def _draw_line(axes: "Axes", places: Sequence[float], cells: Sequence[Cell], label: str, number: int) -> None:
    from matplotlib.transforms import ScaledTranslation

    shown = [
        (place, cell.mean, cell.half_width or 0.0) for place, cell in zip(places, cells, strict=True) if cell.mean is not None
    ]
    if not shown:
        return
    at, mean, half = zip(*shown, strict=True)
    aside = ScaledTranslation((number - 1.5) * ASIDE / 72, 0, axes.get_figure(root=True).dpi_scale_trans)  # type: ignore[union-attr]
    look = {**_paper.look(number), "label": label, "markersize": 3.5, "capsize": 1.5, "elinewidth": 0.6}
    axes.errorbar(at, mean, half, transform=axes.transData + aside, **look)

"""The seen-unseen accuracy curve (Chao et al., ECCV 2016): what every seen bias would give, and the one that was chosen."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import calibration
from avgzsl_bench.board.cells import Cell, pooled
from avgzsl_bench.board.measured import Group, Record
from avgzsl_bench.calibration import Sweep
from avgzsl_bench.plots import _paper, _subjects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOSEN = {"validation": "bias chosen on validation", "test": "bias chosen on test", "declared": "bias that was given"}
MARKS = {"chosen": "bias of the record", "zero": "bias 0", "oracle": "best bias on test (a diagnostic)"}
SHAPES = {"chosen": "o", "zero": "D", "oracle": "*"}
Points = NDArray[np.float64]


class Line(NamedTuple):
    """One setting: fractions."""

    label: str
    runs: tuple[Sweep, ...]
    mean: tuple[Points, Points]  # (seen, unseen), (points,) each
    ausuc: Cell
    marks: dict[str, tuple[float, float]]  # name in MARKS -> (seen, unseen), means over the runs
    chosen_on: str  # split of its selection


def lines(groups: Sequence[Group]) -> list[Line]:
    """What is drawn. Raises AvgzslError for settings that do not go into one picture, and for records without decisions."""
    _subjects.together(groups)
    return [_line(group, label) for group, label in zip(groups, _subjects.labels(groups), strict=True)]


def _line(group: Group, label: str) -> Line:
    runs = tuple(_sweep(record) for record in group.records)
    found = [_marks(record, run) for record, run in zip(group.records, runs, strict=True)]
    marks = {name: tuple(np.mean([own[name] for own in found], axis=0).tolist()) for name in MARKS}
    split = group.records[0]["selection"]["split"]
    return Line(label + _subjects.seeds(group), runs, mean(runs), pooled([calibration.ausuc(run) for run in runs]), marks, split)


def _sweep(record: Record) -> Sweep:
    own = _subjects.decided(record)
    return calibration.sweep(own.decisions, own.seen, own.unseen)


def _marks(record: Record, run: Sweep) -> dict[str, tuple[float, float]]:
    measured, best = record["metrics"], int(np.argmax(run.harmonic_mean))
    return {
        "chosen": (measured["seen"], measured["unseen"]),
        "zero": (measured["at_bias_0"]["seen"], measured["at_bias_0"]["unseen"]),
        "oracle": (float(run.seen[best]), float(run.unseen[best])),
    }


def mean(runs: Sequence[Sweep]) -> tuple[Points, Points]:
    """(seen, unseen): U averaged over runs at equal S, so that the area below is the mean AUSUC; beyond a run's S its U is 0."""
    at = np.unique(np.concatenate([run.seen for run in runs]))
    above, below = (np.mean([_sides(run, at)[side] for run in runs], axis=0) for side in (0, 1))
    return np.repeat(at, 2), np.column_stack([above, below]).ravel()  # U falls as S rises


def _sides(run: Sweep, at: Points) -> tuple[Points, Points]:
    """U just below and just above each S; they differ where a curve falls straight down."""
    seen, unseen = run.seen[::-1], run.unseen[::-1]
    knots, first = np.unique(seen, return_index=True)
    high, low = unseen[first], unseen[np.append(first[1:], len(seen)) - 1]
    here = np.searchsorted(knots, at, side="right") - 1
    following = np.minimum(here + 1, len(knots) - 1)
    width = knots[following] - knots[here]
    part = np.divide(at - knots[here], width, out=np.zeros_like(at), where=width > 0)
    between = low[here] + part * (high[following] - low[here])
    on, within = at == knots[here], at <= knots[-1]
    return np.where(on, high[here], between) * within, np.where(on, low[here], between) * within


def draw(groups: Sequence[Group], outs: Sequence[Path] = (), width: str = "column") -> list[Path]:
    """Draw one curve a setting, the mean of its seeds over thin single ones; returns the files.

    Raises AvgzslError as `lines` and for a format or width that is not known.
    """
    files = list(outs) or [Path(f"curve-{groups[0].identity['dataset']}.png")]
    _paper.check(files, width)
    found = lines(groups)
    return _paper.write(lambda: _figure(found, _subjects.about(groups[0]), width), files)


def _figure(found: Sequence[Line], about: str, width: str) -> "Figure":
    columns = 1 if width == "column" else 2
    handles = [_handle(line, _paper.look(place), _paper.letters(width, columns) - 7) for place, line in enumerate(found)]
    rows = sum(handle.get_label().count("\n") + 1 for handle in handles) + len(MARKS)
    figure = _paper.figure(width, 3.0 + 0.14 * rows / columns, about)
    axes: Axes = figure.add_subplot()
    for place, line in enumerate(found):
        _draw_line(axes, line, _paper.look(place))
    _bounds(axes, found)
    chosen = " or ".join(dict.fromkeys(CHOSEN.get(line.chosen_on, MARKS["chosen"]) for line in found))
    marks = [_mark(name, label) for name, label in (MARKS | {"chosen": chosen}).items()]
    figure.legend(handles=[*handles, *marks], loc="outside lower left", ncols=columns)
    return figure


def _draw_line(axes: "Axes", line: Line, look: dict[str, Any]) -> None:
    if len(line.runs) > 1:
        for run in line.runs:
            axes.plot(100 * run.unseen, 100 * run.seen, color=look["color"], linewidth=0.4, alpha=0.45)
    seen, unseen = line.mean
    axes.plot(100 * unseen, 100 * seen, color=look["color"], linestyle=look["linestyle"])
    for name, (own_seen, own_unseen) in reversed(line.marks.items()):  # the chosen one lies on top
        axes.plot(100 * own_unseen, 100 * own_seen, clip_on=False, zorder=3, **_shape(name, look["color"]))


def _shape(name: str, colour: str) -> dict[str, Any]:
    face, size = (colour if name == "chosen" else "white"), {"oracle": 8.0}.get(name, 4.0)
    shape = {"marker": SHAPES[name], "markersize": size, "linestyle": "", "markeredgewidth": 0.8}
    return {**shape, "markerfacecolor": face, "markeredgecolor": colour}


def _bounds(axes: "Axes", found: Sequence[Line]) -> None:
    axes.set_xlim(0, 100 * max(run.unseen.max() for line in found for run in line.runs) * 1.04)
    axes.set_ylim(0, 100 * max(run.seen.max() for line in found for run in line.runs) * 1.04)
    axes.set_xlabel("accuracy on unseen classes, U (%)")
    axes.set_ylabel("accuracy on seen classes, S (%)")


def _handle(line: Line, look: dict[str, Any], letters: int) -> Any:
    from matplotlib.lines import Line2D

    name, area = f"{line.label}:", f"AUSUC {line.ausuc} %"
    label = f"{name} {area}" if len(name) + len(area) < letters else f"{_paper.wrapped(name, letters)}\n{area}"
    return Line2D([], [], color=look["color"], linestyle=look["linestyle"], label=label)


def _mark(name: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **_shape(name, _paper.GREY))

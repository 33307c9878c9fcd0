"""Which unseen classes are taken for which: the zero-shot decisions, or those among all classes at the chosen bias."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import metrics
from avgzsl_bench.board import lookup
from avgzsl_bench.board.measured import Group, Record
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.plots import _paper, _subjects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AMONG = ("decided for, among unseen classes", "decided for, among all classes at the chosen bias")
NAME = 28  # letters of a class name
ROW = 0.105, 0.26  # inches, the least and the most
WRITTEN = 0.15  # inches of a cell from which it carries its number


class Matrix(NamedTuple):
    """How often clips of each unseen class are decided for each; classes by falling share of right decisions."""

    names: tuple[str, ...]  # of the rows, and of the columns
    share: NDArray[np.float64]  # (classes, classes) fractions, and if joint one column more: a seen class; every row sums to 1


def matrix(group: Group, joint: bool = False) -> Matrix:
    """What is drawn, the clips of all seeds counted together; `joint`: decided among all classes at each run's own bias.

    Raises AvgzslError for a record without decisions.
    """
    found = [_subjects.decided(record) for record in group.records]
    counts = np.sum([_counts(record, own, joint) for record, own in zip(group.records, found, strict=True)], axis=0)
    share = counts / counts.sum(1, keepdims=True)
    names = np.array([found[0].names[i] for i in found[0].unseen], object)
    order = np.lexsort((names.astype(str), -np.round(np.diag(share[:, : len(names)]), 12)))
    columns = np.append(order, len(names)) if joint else order
    return Matrix(tuple(names[order]), share[np.ix_(order, columns)])


def _counts(record: Record, own: _subjects.Decided, joint: bool) -> NDArray[np.float64]:
    """Clips (classes, classes) of each unseen class by what they are decided for, and (classes, 1) for a seen one if joint."""
    decisions, place = own.decisions, {int(i): row for row, i in enumerate(own.unseen)}
    mine = np.isin(decisions.label, own.unseen)
    column = np.array([place[int(i)] for i in decisions.unseen_class[mine]])
    if joint:
        column = np.where(_to_unseen(record, own)[mine], column, len(place))
    row = np.array([place[int(i)] for i in decisions.label[mine]])
    counts = np.zeros((len(place), len(place) + joint))
    np.add.at(counts, (row, column), 1)
    return counts


def _to_unseen(record: Record, own: _subjects.Decided) -> NDArray[np.bool_]:
    """Whether each clip goes to an unseen class at the bias of its run; a tie is wrong, or the lower id's (reference)."""
    over, bias = metrics.gap(own.decisions), record["selection"]["seen_bias"]
    first = own.decisions.unseen_class < own.decisions.seen_class
    return np.asarray((over < bias) | ((over == bias) & first & (record["identity"]["rules"] == "reference")))


def draw(groups: Sequence[Group], outs: Sequence[Path] = (), width: str = "column", joint: bool = False) -> list[Path]:
    """Draw the confusions of one setting; returns the files.

    Raises AvgzslError for several settings, for records without decisions, and for an unknown format or width.
    """
    if len(groups) > 1:
        raise AvgzslError(
            f"one setting has a picture of its own, and these records are of several: {lookup.listed(groups)}; name one"
        )
    own = groups[0].identity
    files = list(outs) or [Path(f"confusion-{own['method']}-{own['dataset']}.png")]
    _paper.check(files, width)
    found = matrix(groups[0], joint)
    about = _subjects.about(groups[0], _subjects.labels(groups)[0] + _subjects.seeds(groups[0]))
    return _paper.write(lambda: _figure(found, about, width), files)


def _figure(found: Matrix, about: str, width: str) -> "Figure":
    names = [f"{name}  {row}" for row, name in enumerate(_paper.shortened(found.names, NAME), 1)]
    room = _paper.WIDTHS[width] - 0.6 - _paper.inches(max(map(len, names)))
    cell = max(room, 1.0) / found.share.shape[1]
    figure = _paper.figure(width, len(names) * min(max(cell, ROW[0]), ROW[1]) + 0.9, about)
    axes: Axes = figure.add_subplot()
    image = axes.imshow(100 * found.share, cmap="Blues", vmin=0, aspect="auto", interpolation="none")
    axes.set_yticks(range(len(names)), names, fontsize=_paper.SMALL)
    _number(axes, found, cell)
    figure.supxlabel(AMONG[found.share.shape[1] > len(names)])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if cell >= WRITTEN:
        _write(axes, found)
        axes.set_title("clips of the class (%)", loc="left")
    else:
        bar = figure.colorbar(image, location="top", shrink=0.6, aspect=30, pad=0.02)
        bar.set_label("clips of the class (%)")
        bar.outline.set_visible(False)
    return figure


def _number(axes: "Axes", found: Matrix, cell: float) -> None:
    """Columns are numbered as the rows are, as many of them as there is room for."""
    count, more = len(found.names), found.share.shape[1] - len(found.names)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if step * cell >= _paper.inches(len(str(count)) + 1) or step == 100)
    shown = [number for number in range(1, count + 1) if number % step == 0 or (number == 1 and step > 2)]
    places, labels = [number - 1 for number in shown], [str(number) for number in shown]
    axes.set_xticks([*places, *[count] * more], [*labels, *["\nseen"] * more], fontsize=_paper.SMALL)


def _write(axes: "Axes", found: Matrix) -> None:
    for (row, column), share in np.ndenumerate(found.share):
        if share >= 0.005:
            colour = "white" if share > 0.6 * found.share.max() else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center_baseline", color=colour, fontsize=_paper.SMALL)

"""Per-class accuracy of two settings: a line from one to the other for every class, unseen and seen classes apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench.board import lookup
from avgzsl_bench.board.measured import Group
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.plots import _paper, _subjects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MOST = 40  # classes of a panel, which a page has room for
ROW = 0.115  # inches
LOOKS: tuple[dict[str, Any], ...] = (  # of equal values both are seen
    {"linestyle": "", "marker": "o", "markersize": 4.4, "color": _paper.COLOURS[0], "markerfacecolor": "white"},
    {"linestyle": "", "marker": "D", "markersize": 2.6, "color": _paper.COLOURS[1]},
)
NAME = 28  # letters of a class name


class Panel(NamedTuple):
    """Unseen or seen classes, by falling gain of the second setting over the first."""

    title: str
    names: tuple[str, ...]
    first: NDArray[np.float64]  # (classes,) fraction of a class's clips that are right, mean over seeds
    second: NDArray[np.float64]
    left_out: int  # classes whose accuracy changes least


def panels(groups: Sequence[Group], most: int = MOST) -> list[Panel]:
    """What is drawn: the `most` classes of each panel that differ most.

    Raises AvgzslError unless there are two settings that go into one picture.
    """
    if len(groups) != 2:
        found = f"{len(groups)} settings: {lookup.listed(groups)}"
        raise AvgzslError(f"accuracies of two settings are compared, and these records are of {found}; name two")
    if most < 1:
        raise AvgzslError(f"--most {most} shows no class; give 1 or more")
    _subjects.together(groups)
    first, second = (_accuracy(group) for group in groups)
    record = groups[0].records[0]["per_class"]
    unseen, names = np.array(record["unseen"], bool), np.array(record["name"], object)
    parts = (("unseen classes", unseen), ("seen classes", ~unseen))
    return [_panel(title, names[part], first[part], second[part], most) for title, part in parts]


def _accuracy(group: Group) -> NDArray[np.float64]:
    counts = [(record["per_class"]["correct"], record["per_class"]["clips"]) for record in group.records]
    return np.asarray(np.mean([np.array(correct) / np.array(clips) for correct, clips in counts], axis=0))


def _panel(title: str, names: NDArray[np.object_], first: NDArray[np.float64], second: NDArray[np.float64], most: int) -> Panel:
    gain = np.round(second - first, 12)  # equal gains by name
    kept = np.lexsort((names.astype(str), -np.abs(gain)))[:most]
    order = kept[np.lexsort((names[kept].astype(str), -gain[kept]))]
    return Panel(title, tuple(names[order]), first[order], second[order], len(names) - len(order))


def draw(groups: Sequence[Group], outs: Sequence[Path] = (), width: str = "column", most: int = MOST) -> list[Path]:
    """Draw two settings beside each other; returns the files.

    Raises AvgzslError as `panels`, and for an unknown format or width.
    """
    found = panels(groups, most)
    methods = "-".join(group.identity["method"] for group in groups)
    files = list(outs) or [Path(f"classes-{methods}-{groups[0].identity['dataset']}.png")]
    _paper.check(files, width)
    about = _subjects.about(groups[0])
    labels = [f"{label}{_subjects.seeds(group)}" for label, group in zip(_subjects.labels(groups), groups, strict=True)]
    return _paper.write(lambda: _figure(found, labels, about, width), files)


def _figure(found: Sequence[Panel], labels: Sequence[str], about: str, width: str) -> "Figure":
    rows, beside = [len(panel.names) + 1.0 for panel in found], width == "page"
    figure = _paper.figure(width, 0.9 + ROW * (max(rows) if beside else sum(rows) + 3), about)
    if beside:
        axes = figure.subplots(1, 2, sharey=False)
        rows = [max(rows)] * 2  # so that a row is as high in both
    else:
        axes = figure.subplots(2, 1, sharex=True, height_ratios=rows)
    for panel, own, high in zip(found, axes, rows, strict=True):
        _draw_panel(own, panel)
        own.set_ylim(high - 1.4, -0.6)
    for own in axes if beside else axes[1:]:
        own.set_xlabel("accuracy among all classes (%)")
    handles = [_handle(look, label) for look, label in zip(LOOKS, labels, strict=True)]
    columns = 2 if sum(map(len, labels)) < _paper.letters(width) - 12 else 1
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    row = np.arange(len(panel.names))
    first, second = 100 * panel.first, 100 * panel.second
    axes.hlines(row, first, second, color=_paper.GREY, linewidth=0.8)
    for value, look in zip((first, second), LOOKS, strict=True):
        axes.plot(value, row, clip_on=False, zorder=3, **look)
    axes.set_yticks(row, _paper.shortened(panel.names, NAME), fontsize=_paper.SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 100)
    axes.hlines(row, 0, 100, linewidth=0.3, color="#dddddd", zorder=0)
    axes.spines["left"].set_visible(False)
    more = f", the {len(row)} of {len(row) + panel.left_out} that differ most" if panel.left_out else ""
    axes.set_title(panel.title + more, loc="right", fontweight="bold")


def _handle(look: dict[str, Any], label: str) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)

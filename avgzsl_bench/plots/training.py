"""Losses and harmonic mean by epoch in both stages, with the learning-rate drops and the epoch that was selected."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import runner
from avgzsl_bench.board.measured import Group, Record
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.plots import _paper, _subjects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

FEW = 15  # epochs up to which each has a marker
WIDE = 30.0  # ratio of the largest to the smallest loss from which their axis is logarithmic
MARKED: dict[str, dict[str, Any]] = {
    "selected": {"linestyle": "-", "linewidth": 0.7},
    "drop": {"linestyle": ":", "linewidth": 0.9},
}


class Stage(NamedTuple):
    """One stage of a run, by epoch."""

    epochs: NDArray[np.int64]  # (epochs,)
    losses: dict[str, NDArray[np.float64]]  # (epochs,) each
    harmonic_mean: NDArray[np.float64]  # (epochs,) fraction; NaN where nothing was scored
    drops: tuple[int, ...]  # epochs after which the learning rate fell, as far as the record tells
    selected: int


class Course(NamedTuple):
    """How a run was trained."""

    stages: tuple[Stage, ...]
    tried: tuple[Stage, ...]  # stage 1 of the other settings that a search tried
    scored_on: str


def course(record: Record) -> Course:
    """What the log and the record of a run tell. Raises AvgzslError where there is no log, and where nothing was trained."""
    folder = _subjects.folder(record)
    told = runner.epochs(folder)
    if not told:
        raise AvgzslError(
            f"{folder} has no {runner.EPOCHS} of epochs, which a run leaves beside its record; run it again to have one"
        )
    lines = [line for line in told if line["losses"]]
    if not lines:
        raise AvgzslError(f"{record['identity']['method']} trains nothing, so it has no training curves; take another run")
    selection = record["selection"]
    winner = (selection.get("search") or {}).get("winner", {})
    others = [line["searched"] for line in lines if line["stage"] == 1 and line["searched"] != winner]
    tried = [own for i, own in enumerate(others) if own not in others[:i]]
    stages = [_stage(lines, record, number, winner) for number in (1, 2)]
    return Course(tuple(stages), tuple(_stage(lines, record, 1, own) for own in tried), selection["split"])


def _stage(lines: Sequence[Mapping[str, Any]], record: Record, number: int, searched: Mapping[str, Any]) -> Stage:
    own = sorted((one for one in lines if one["stage"] == number and one["searched"] == searched), key=lambda one: one["epoch"])
    names = list(dict.fromkeys(name for one in own for name in one["losses"]))
    selection = record["selection"]
    return Stage(
        np.array([one["epoch"] for one in own], np.int64),
        {name: np.array([one["losses"].get(name, np.nan) for one in own], np.float64) for name in names},
        np.array([np.nan if one["harmonic_mean"] is None else one["harmonic_mean"] for one in own], np.float64),
        tuple(selection.get("learning_rate_drops", ())) if number == 1 or _replays(record) else (),
        selection["epoch"],
    )


def _replays(record: Record) -> bool:
    """Whether stage 2 drops the learning rate where stage 1 did; under reference rules it has a schedule of its own."""
    return bool(record["identity"]["rules"] == "corrected" or record["selection"]["split"] == "test")


def draw(groups: Sequence[Group], outs: Sequence[Path] = (), width: str = "column") -> list[Path]:
    """Draw the training of one run, of several seeds the first that has a log; returns the files.

    Raises AvgzslError as `course`, for several settings, and for an unknown format or width.
    """
    record = _subjects.one_run(groups, runner.EPOCHS)
    own = record["identity"]
    files = list(outs) or [Path(f"training-{own['method']}-{own['dataset']}.png")]
    _paper.check(files, width)
    found = course(record)
    about = _subjects.about(groups[0], f"{_subjects.labels(groups)[0]}, seed {own['seed']}")
    return _paper.write(lambda: _figure(found, about, width), files)


def _figure(found: Course, about: str, width: str) -> "Figure":
    figure = _paper.figure(width, 3.3, about)
    ratios = [max(len(stage.epochs), 1) for stage in found.stages]
    balanced = [max(own, 0.6 * max(ratios)) for own in ratios]  # a short stage 2 keeps room for its labels
    axes = figure.subplots(2, 2, sharex="col", sharey="row", width_ratios=balanced)
    names = list(dict.fromkeys(name for stage in found.stages for name in stage.losses))
    for column, stage in enumerate(found.stages):
        _draw_losses(axes[0, column], stage, names)
        _draw_scores(axes[1, column], stage, found.tried if column == 0 else ())
        axes[0, column].set_title(f"stage {column + 1}")
        axes[1, column].set_xlabel("epoch")
    if _spread(found) > WIDE:
        axes[0, 0].set_yscale("log")
        axes[0, 0].yaxis.set_major_formatter("{x:g}")
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel(f"{found.scored_on} HM (%)")
    if np.isnan(found.stages[1].harmonic_mean).all():
        axes[1, 1].set_visible(False)
        axes[0, 1].tick_params(labelbottom=True)
    else:  # reference rules
        axes[1, 1].set_title("on clips that it trains on", fontsize=_paper.SMALL)
    figure.align_ylabels(axes[:, 0])
    figure.legend(handles=_handles(found, names), loc="outside lower left", ncols=2 if width == "column" else 4)
    return figure


def _spread(found: Course) -> float:
    values = np.concatenate([loss for stage in found.stages for loss in stage.losses.values()])
    return float(np.nanmax(values) / np.nanmin(values)) if np.nanmin(values) > 0 else 0.0


def _draw_losses(axes: "Axes", stage: Stage, names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name in stage.losses:
            axes.plot(stage.epochs, stage.losses[name], **_look(place, len(stage.epochs)))
    _mark(axes, stage)


def _draw_scores(axes: "Axes", stage: Stage, tried: Sequence[Stage]) -> None:
    for other in tried:
        scored = ~np.isnan(other.harmonic_mean)
        axes.plot(other.epochs[scored], 100 * other.harmonic_mean[scored], color="#999999", linewidth=0.6)
    scored = ~np.isnan(stage.harmonic_mean)
    axes.plot(stage.epochs[scored], 100 * stage.harmonic_mean[scored], **{**_look(0, scored.sum()), "color": "black"})
    _mark(axes, stage)


def _look(place: int, points: int) -> dict[str, Any]:
    look = _paper.look(place)
    return {**look, "markersize": 3.0, "marker": look["marker"] if points <= FEW else ""}


def _mark(axes: "Axes", stage: Stage) -> None:
    from matplotlib.ticker import MaxNLocator

    for drop in stage.drops:
        axes.axvline(drop, color=_paper.GREY, **MARKED["drop"])
    axes.axvline(stage.selected, color=_paper.GREY, zorder=0, **MARKED["selected"])
    axes.set_xlim(0.5, max([*stage.epochs, stage.selected]) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))


def _handles(found: Course, names: Sequence[str]) -> "list[Line2D]":
    from matplotlib.lines import Line2D

    first = found.stages[0]
    made = [Line2D([], [], label=name, **_look(place, len(first.epochs))) for place, name in enumerate(names)]
    made.append(Line2D([], [], color=_paper.GREY, label=f"selected epoch, {first.selected}", **MARKED["selected"]))
    if first.drops:
        made.append(Line2D([], [], color=_paper.GREY, label="learning-rate drop", **MARKED["drop"]))
    if found.tried:
        made.append(Line2D([], [], color="#999999", linewidth=0.6, label="other values searched"))
    return made

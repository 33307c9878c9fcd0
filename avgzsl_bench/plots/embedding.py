"""t-SNE of what a method is given and of the space it has learned, with class text as squares (Figure 4 of KDA's paper).

Three panels: the audio features of test clips, their video features, and `Method.embed` of the same clips beside the classes.
Clips and classes of the learned space are placed by one t-SNE, so that their distances mean the same. A method that fits
classifiers shows those in the place of class text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from avgzsl_bench import batches, checkpoints, evaluation, identity, plugins, runner, scoring
from avgzsl_bench.board.measured import Group, Record
from avgzsl_bench.contracts import Method, Tokens
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.plots import _paper, _subjects
from avgzsl_bench.precision import PRECISIONS
from avgzsl_bench.protocols._exams import Exam, Examiner, Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WEIGHTS = "model.safetensors"
SEEN, UNSEEN = 5, 2  # classes that are drawn where none are named, as in the paper's figure
MOST = 100  # clips of a class
PERPLEXITY = 30.0
LEAST = 5  # perplexity of the smallest picture worth looking at
TITLES = ("audio features", "video features", "learned space")
Points = NDArray[np.float32]


class Space(NamedTuple):
    """Test clips of some classes, as they are given and as they are embedded."""

    classes: tuple[str, ...]  # seen ones first
    unseen: NDArray[np.bool_]  # (classes,)
    label: NDArray[np.int64]  # (clips,) index of the class
    audio: Points  # (clips, dim), of sequences the mean token
    video: Points  # (clips, dim)
    learned: Points  # (clips, k)
    rows: Points  # (classes, k) the classes in the learned space
    shown_as: str  # what a row is


class Rebuilt(NamedTuple):
    """A method as a run left it, and the test exam of that run."""

    method: Method
    examiner: Examiner
    stage: Stage
    exam: Exam


def rebuild(record: Record, settings: Mapping[str, Any] | None = None, device: str = "auto") -> Rebuilt:
    """The method of a run with its weights; the test set is opened from the record, which holds the selection.

    `settings` say where an encoder's weights lie (encoder.path). Raises AvgzslError for a run without weights, and for
    features, class text or code that are not those of the run.
    """
    path = _subjects.folder(record) / WEIGHTS
    if not path.is_file():
        raise AvgzslError(f"{path.parent} has no {WEIGHTS}, from which the method is built again; give the folder of a whole run")
    if not (record.get("cost") or {}).get("parameters", 1):
        raise AvgzslError(
            f"{record['identity']['method']} has no weights, so there is no space that it has learned; take another method"
        )
    weights = checkpoints.read_weights(path)
    unsaid = dict.fromkeys(("method", "dataset", "encoder", "features", "split", "text", "rules"))
    trained = evaluation.training_of(weights, unsaid, settings or {})
    material = identity.Material(trained.setting)
    evaluation.check_same(material.identity(trained.setting.seed), trained.identity)
    dtype = PRECISIONS[trained.setting.precision].dtype
    examiner = Examiner(material.splits, material.vectors, material.shared, trained.rules, runner.choose_device(device), dtype)
    stage = examiner.stage(2)
    method = evaluation.loaded(examiner, material, stage, weights)
    return Rebuilt(method, examiner, stage, examiner.test(path.with_name("record.json")))


def space(record: Record, built: Rebuilt, classes: Sequence[str] = (), seed: int = 0) -> Space:
    """The clips of the named classes, or of SEEN and UNSEEN classes drawn by `seed`; of many clips MOST a class, drawn likewise.

    A name may be several with commas between.

    Raises AvgzslError for a class that has no test clips, and for a method without a learned space.
    """
    exam, info = built.exam, built.examiner.splits.classes
    chosen = _chosen(exam, [own.name for own in info], classes, seed)
    index = torch.from_numpy(_drawn(exam.label, chosen, seed))
    held = exam.clips._replace(audio=_some(exam.clips.audio, index), video=_some(exam.clips.video, index))
    key, fit = record["identity"]["seed"], record["selection"].get("classifier_epoch", 1) - 1
    rows = scoring.prepare(built.method, batches.everything(built.stage.pool, built.stage.text), exam.text, key)[fit]
    try:
        learned, beside = scoring.embed(built.method, held, rows, key)
    except NotImplementedError:
        raise AvgzslError(f"{record['identity']['method']} has no learned space (Method.embed); take another method") from None
    places = {own: i for i, own in enumerate(chosen)}
    return Space(
        tuple(info[own].name for own in chosen),
        np.isin(chosen, exam.unseen),
        np.array([places[int(own)] for own in exam.label[index.numpy()]]),
        _averages(held.audio),
        _averages(held.video),
        learned.float().cpu().numpy(),
        beside[[exam.ids.index(own) for own in chosen]].float().cpu().numpy(),
        "fitted classifier" if built.method.classifier_epochs else "class text",
    )


def _chosen(exam: Exam, names: Sequence[str], classes: Sequence[str], seed: int) -> list[int]:
    """Ids of the classes to draw, seen ones first."""
    if not classes:
        dice = np.random.RandomState(seed)
        parts = ((exam.seen, SEEN), (exam.unseen, UNSEEN))
        return [int(i) for ids, many in parts for i in np.sort(dice.permutation(ids)[:many])]
    tested = {names[i]: i for i in exam.ids}
    ids = [tested[name] for value in classes for name in _split(value, tested, names)]
    return [i for i in dict.fromkeys(ids) if i in exam.seen] + [i for i in dict.fromkeys(ids) if i in exam.unseen]


def _split(value: str, tested: Mapping[str, int], known: Sequence[str]) -> list[str]:
    """The classes of a list with commas, which a name may contain as well."""
    found, pieces = [], value.split(",")
    while pieces:
        heads = [",".join(pieces[:count]).strip() for count in range(len(pieces), 0, -1)]
        name = next((head for head in heads if head in tested), None)
        if name is None:
            why = "has no test clips in this split" if heads[-1] in known else "is unknown"
            near = plugins.near(heads[-1], list(tested))
            raise AvgzslError(f"class {heads[-1]!r} {why}; {near}per_class in the record lists what is tested")
        found.append(name)
        pieces = pieces[name.count(",") + 1 :]
    return found


def _drawn(label: NDArray[np.int64], chosen: Sequence[int], seed: int) -> NDArray[np.int64]:
    dice = np.random.RandomState(seed)
    each = [np.flatnonzero(label == own) for own in chosen]
    return np.concatenate([np.sort(dice.permutation(own)[:MOST]) for own in each])


def _some(clips: torch.Tensor | Tokens, index: torch.Tensor) -> torch.Tensor | Tokens:
    return clips[index.numpy()] if isinstance(clips, Tokens) else clips[index.to(clips.device)]


def _averages(clips: torch.Tensor | Tokens) -> Points:
    if isinstance(clips, Tokens):
        return np.stack([clips.clip(i).mean(0, dtype=np.float32) for i in range(len(clips))])
    return clips.float().cpu().numpy()


def placed(points: Points, perplexity: float, seed: int) -> NDArray[np.float64]:
    """t-SNE (van der Maaten and Hinton, 2008) of points (points, k) on a plane, (points, 2), the same at every call."""
    try:
        from sklearn.manifold import TSNE  # type: ignore[import-untyped]
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as error:
        raise _paper.missing("scikit-learn") from error
    with threadpool_limits(1):  # sums in one order
        found: NDArray[np.float64] = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(points)
    return found


def checked_perplexity(perplexity: float | None, clips: int) -> float:
    """The perplexity, by default PERPLEXITY or what so many clips allow. Raises AvgzslError for one that they do not allow."""
    most = (clips - 1) / 3  # t-SNE looks at three times as many neighbours
    chosen = min(PERPLEXITY, most) if perplexity is None else perplexity
    if most < LEAST:
        raise AvgzslError(f"{clips} clips are too few for t-SNE, which needs {3 * LEAST + 1}; name more classes")
    if not 1 <= chosen <= most:
        raise AvgzslError(f"--perplexity {chosen:g} does not go with {clips} clips; give 1 to {most:.0f}, or name more classes")
    return chosen


def draw(
    groups: Sequence[Group],
    outs: Sequence[Path] = (),
    width: str = "column",
    classes: Sequence[str] = (),
    seed: int = 0,
    perplexity: float | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> list[Path]:
    """Draw the spaces of one run, of several seeds the first with weights; returns the files.

    Raises AvgzslError as `rebuild`, `space` and `checked_perplexity`, for several settings, and for an unknown format or width.
    """
    record = _subjects.one_run(groups, WEIGHTS)
    own = record["identity"]
    files = list(outs) or [Path(f"embedding-{own['method']}-{own['dataset']}.png")]
    _paper.check(files, width)
    if not 0 <= seed < 2**32:
        raise AvgzslError(f"--seed {seed} is no seed; give a whole number from 0 to {2**32 - 1}")
    found = space(record, rebuild(record, settings, device), classes, seed)
    perplexity = checked_perplexity(perplexity, len(found.label))
    panels = [
        placed(points, perplexity, seed) for points in (found.audio, found.video, np.concatenate([found.learned, found.rows]))
    ]
    about = _subjects.about(groups[0], f"{_subjects.labels(groups)[0]}, seed {own['seed']}")
    return _paper.write(lambda: _figure(found, panels, about, width), files)


def _figure(found: Space, panels: Sequence[NDArray[np.float64]], about: str, width: str) -> "Figure":
    columns = 1 if max(map(len, found.classes)) > _paper.letters(width, 2) - 14 else 2
    rows = -(-(len(found.classes) + 1) // columns)
    figure = _paper.figure(width, 0.46 + _paper.WIDTHS[width] / 3 + 0.145 * rows, about)
    for axes, title, points in zip(figure.subplots(1, 3), TITLES, panels, strict=True):
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.set_box_aspect(1)
        _draw_clips(axes, points, found)
    _draw_text(axes, panels[-1][len(found.label) :])
    figure.legend(handles=_handles(found), loc="outside lower left", ncols=columns)
    return figure


def _draw_clips(axes: "Axes", points: NDArray[np.float64], found: Space) -> None:
    for i in range(len(found.classes)):
        own = points[: len(found.label)][found.label == i]
        axes.plot(own[:, 0], own[:, 1], **_look(found, i), markersize=2.4, zorder=1 + found.unseen[i])


def _look(found: Space, i: int) -> dict[str, Any]:
    """Unseen classes are hollow; classes beyond the colours differ in their marker."""
    look = _paper.look(i)
    face = "white" if found.unseen[i] else look["color"]
    return {"color": look["color"], "marker": look["marker"], "linestyle": "", "markerfacecolor": face, "markeredgewidth": 0.6}


def _draw_text(axes: "Axes", rows: NDArray[np.float64]) -> None:
    for i, (x, y) in enumerate(rows):
        colour, above = _paper.look(i)["color"], 4 + i / len(rows)
        axes.plot(x, y, "s", markersize=6.5, markerfacecolor=colour, markeredgecolor="black", markeredgewidth=0.6, zorder=above)
        letter: dict[str, Any] = {
            "color": "black" if colour in _paper.LIGHT else "white",
            "fontsize": 4.5,
            "fontweight": "bold",
            "zorder": above,
        }
        axes.annotate(str(i + 1), (x, y), ha="center", va="center_baseline", **letter)


def _handles(found: Space) -> list[Any]:
    from matplotlib.lines import Line2D

    marks = ["", " (unseen)"]
    names = [
        f"{i}  {name}{marks[int(unseen)]}" for i, (name, unseen) in enumerate(zip(found.classes, found.unseen, strict=True), 1)
    ]
    made = [Line2D([], [], label=name, markersize=3.5, **_look(found, i)) for i, name in enumerate(names)]
    square: dict[str, Any] = {
        "marker": "s",
        "markersize": 5,
        "markerfacecolor": "white",
        "markeredgecolor": "black",
        "markeredgewidth": 0.6,
    }
    return [*made, Line2D([], [], linestyle="", label=found.shown_as, **square)]

"""What follows from decisions, all at once: a second account beside `metrics` and `calibration`, by which runs are computed.

Only a clip whose own class is the best of its group can be right, at whatever bias; everything is counted on these.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench.contracts import Rules
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.metrics import Decisions

Flags = NDArray[np.bool_]
Numbers = dict[str, float | None]
Counts = dict[str, list[int]]


class _Hits(NamedTuple):
    """The clips whose own class is the best of its group."""

    place: NDArray[np.int64]  # (hits,) among all clips
    label: NDArray[np.int16]  # (hits,)
    unseen: Flags  # (hits,)
    gap: NDArray[np.float64]  # (hits,) best seen minus best unseen score
    step: NDArray[np.float64]  # (hits,) what each adds to S or to U
    wins_ties: Flags  # (hits,)

    def right(self, bias: float) -> Flags:
        """Whether each beats the other group, (hits,)."""
        wins: Flags = np.where(self.unseen, self.gap < bias, self.gap > bias)
        wins |= self.wins_ties & (self.gap == bias)
        return wins


def account(decisions: Decisions, flags: Flags, bias: float, rules: Rules) -> tuple[Numbers, Counts]:
    """(metrics by their names in a record, nested ones after a dot; counts of each class by ascending id).

    `flags` (classes,) tells which classes are unseen. Raises AvgzslError where the decisions are not about such classes.
    """
    clips = np.bincount(decisions.label)  # by class id
    ids = np.flatnonzero(clips)  # every class of the split has clips
    if len(ids) != len(flags) or flags.all() or not flags.any():
        raise AvgzslError(f"its decisions are about {len(ids)} classes, and it names {len(flags)}, {flags.sum()} of them unseen")
    hits = _hits(decisions, clips, ids, flags, rules)
    right = hits.right(bias)
    numbers = {**_accuracies(hits, right), **_curve(hits), **_unshared(decisions, clips, hits, right, ids[~flags])}
    numbers |= {f"at_bias_0.{name}": value for name, value in _accuracies(hits, hits.right(0.0)).items()}
    counts = {"clips": clips[ids], "correct": _count(hits.label[right], ids)}
    counts["correct_zero_shot"] = _count(hits.label[hits.unseen], ids)
    return numbers, {name: column.tolist() for name, column in counts.items()}


def _hits(decisions: Decisions, clips: NDArray[Any], ids: NDArray[Any], flags: Flags, rules: Rules) -> _Hits:
    is_unseen, step = np.zeros(len(clips), np.bool_), np.zeros(len(clips))  # by class id
    is_unseen[ids], step[ids] = flags, 1 / (clips[ids] * np.where(flags, flags.sum(), (~flags).sum()))
    of_unseen = decisions.label == decisions.unseen_class
    place = np.flatnonzero(of_unseen | (decisions.label == decisions.seen_class))
    label = decisions.label[place]
    unseen = is_unseen[label]
    if not np.array_equal(unseen, of_unseen[place]):
        raise AvgzslError("its decisions take an unseen class for a seen one, or a seen one for an unseen")
    gap = decisions.seen_score[place].astype(np.float64) - decisions.unseen_score[place]
    other = np.where(unseen, decisions.seen_class[place], decisions.unseen_class[place]) if rules == "reference" else label
    return _Hits(place, label, unseen, gap, step[label], label < other)


def _accuracies(hits: _Hits, right: Flags) -> dict[str, float]:
    both, unseen = float(np.dot(hits.step, right)), float(np.dot(hits.step, right & hits.unseen))
    seen = both - unseen
    return {"seen": seen, "unseen": unseen, "harmonic_mean": 2 * seen * unseen / both if both else 0.0}


def _curve(hits: _Hits) -> dict[str, float]:
    """What follows from S and U at every bias: clips are passed by ascending gap, those with equal ones together."""
    order = np.argsort(hits.gap)
    gap, step, unseen = hits.gap[order], hits.step[order], hits.unseen[order]
    won = np.cumsum(np.where(unseen, step, 0.0))  # of U, once the bias is past a clip
    lost = np.cumsum(np.where(unseen, 0.0, step))  # of S
    if (tied := gap[1:] == gap[:-1]).any():
        last = np.append(~tied, True)
        won, lost = won[last], lost[last]
    won, seen = np.append(0.0, won), np.append(0.0, lost)
    seen = seen[-1] - seen
    total = seen + won
    best = (2 * seen * won / np.where(total > 0, total, 1.0)).max()
    area = np.dot(seen[:-1] - seen[1:], won[1:] + won[:-1]) / 2
    return {"zero_shot": float(won[-1]), "ausuc": float(area), "oracle_harmonic_mean": float(best)}


def _unshared(decisions: Decisions, clips: NDArray[Any], hits: _Hits, right: Flags, seen: NDArray[Any]) -> Numbers:
    if decisions.shared is None:
        return {}
    clips = (clips - np.bincount(decisions.label[decisions.shared], minlength=len(clips)))[seen]
    correct = _count(hits.label[right & ~decisions.shared[hits.place]], seen)
    kept = clips > 0
    accuracy = float((correct[kept] / clips[kept]).mean()) if kept.any() else None
    return {"unshared.seen": accuracy, "unshared.clips": int(clips.sum()), "unshared.classes": int(kept.sum())}


def _count(label: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.bincount(label, minlength=int(ids[-1]) + 1)[ids]
    return counts

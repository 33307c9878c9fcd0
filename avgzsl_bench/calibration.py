"""The seen bias: its exact sweep over all reals, and the published grid."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench.metrics import Decisions, Ids, at_bias, count_clips, gap, harmonic_mean

_DIGITS = 12  # harmonic means that agree to so many decimals are equal: running sums of class weights round by far less


class Sweep(NamedTuple):
    """S, U and HM of every bias: they change at `points` only and are constant on the open intervals around them."""

    points: NDArray[np.float64]  # (points,) ascending, each once; the intervals are (-inf, p0), (p0, p1), ..., (pn, inf)
    seen: NDArray[np.float64]  # (points + 1,) falls
    unseen: NDArray[np.float64]  # (points + 1,) rises
    harmonic_mean: NDArray[np.float64]  # (points + 1,)


def sweep(decisions: Decisions, seen_ids: Ids, unseen_ids: Ids) -> Sweep:
    """Every value that S, U and HM take, exactly. Raises AvgzslError for a class without clips.

    Between the change points seen and unseen never tie, so both rules give the same sweep of the same decisions.
    """
    label = decisions.label
    matters = np.flatnonzero((label == decisions.seen_class) | (label == decisions.unseen_class))
    step, is_seen = _steps(label, seen_ids, unseen_ids)
    step, is_seen = step[label[matters]], is_seen[label[matters]]
    points, place = np.unique(gap(decisions)[matters], return_inverse=True)
    lost = np.bincount(place, np.where(is_seen, step, 0.0), len(points))  # of S, as the bias passes each point
    won = np.bincount(place, np.where(is_seen, 0.0, step), len(points))
    seen = np.append(np.cumsum(lost[::-1])[::-1], 0.0)  # summed from the end where S is exactly 0
    unseen = np.append(0.0, np.cumsum(won))
    return Sweep(points, seen, unseen, harmonic_mean(seen, unseen))


def _steps(label: NDArray[np.int16], seen_ids: Ids, unseen_ids: Ids) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """By class id: what a clip adds to S or U once it is decided between seen and unseen in its favour; whether it is S."""
    ids = np.concatenate([seen_ids, unseen_ids])
    sizes = np.repeat([len(seen_ids), len(unseen_ids)], [len(seen_ids), len(unseen_ids)])
    step, is_seen = np.zeros(int(max(label.max(), ids.max())) + 1), np.zeros(int(max(label.max(), ids.max())) + 1, np.bool_)
    step[ids], is_seen[np.asarray(seen_ids)] = 1.0 / (count_clips(label, ids) * sizes), True
    return step, is_seen


def best_bias(curve: Sweep) -> tuple[float, float]:
    """The bias of the best HM and that HM: the midpoint of the best open interval, on ties of the interval nearest 0.

    An unbounded interval (best only where every HM is 0) stands for 0 or for one unit beyond its end, whichever is further out.
    The HM is rounded to 12 decimals, so that two epochs with equal ones compare equal.
    """
    if not len(curve.points):
        return 0.0, 0.0
    lower, upper = np.append(-np.inf, curve.points), np.append(curve.points, np.inf)
    inner = (curve.points[:-1] + curve.points[1:]) / 2
    bias = np.concatenate([[min(0.0, lower[1] - 1)], inner, [max(0.0, upper[-2] + 1)]])
    # two change points can be neighbouring float64 numbers: no bias lies between them
    value = np.where((lower < bias) & (bias < upper), np.round(curve.harmonic_mean, _DIGITS), -1.0)
    best = np.flatnonzero(value == value.max())
    distance = np.maximum(0.0, np.maximum(lower[best], -upper[best]))  # from 0 to the interval
    winner = best[np.lexsort((np.abs(bias[best]), distance))[0]]
    return float(bias[winner]), float(value[winner])


def grid_bias(decisions: Decisions, seen_ids: Ids, unseen_ids: Ids, biases: NDArray[np.float64]) -> tuple[float, float]:
    """The first of some biases with the best HM under reference rules, and that HM.

    As `get_best_evaluation` of AVCA's release, but that a winning 0 stays 0.
    """
    tried = [at_bias(decisions, float(bias), seen_ids, unseen_ids, "reference").harmonic_mean for bias in biases]
    best = int(np.argmax(tried))
    return float(biases[best]), tried[best]


def oracle(curve: Sweep) -> float:
    """The best HM of any bias outside the change points: on test clips a diagnostic, never a result."""
    return float(curve.harmonic_mean.max())


def ausuc(curve: Sweep) -> float:
    """Area under the seen-unseen accuracy curve (Chao et al., ECCV 2016): trapezoids over all its points, both ends included."""
    return float(np.sum(-np.diff(curve.seen) * (curve.unseen[1:] + curve.unseen[:-1])) / 2)


def score_scale(decisions: Decisions) -> float:
    """Median of |best seen - best unseen score|: the unit in which a bias carried to another model is large or small."""
    return float(np.median(np.abs(gap(decisions))))

"""Intervals, tests and tie groups: pure functions over the seeds' numbers and over the outcome of every test clip.

Two things decide a measured number beside the method: training (another seed) and the test set (other clips, other source
videos, other classes). Each has intervals and a test of its own, and two methods count as apart only if both tests say so.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.metrics import harmonic_mean

Unit = Literal["clips", "videos", "classes"]
Interval = tuple[float, float]
Floats = NDArray[np.float64]

LEVEL = 0.95  # of an interval
ALPHA = 0.05  # up to this p, a test rejects
REPLICATES = 9_999
"""The smallest two-sided p is then 2 / 10,000, so that Holm over 50 comparisons can reject (0.01) with room for chance."""
_BLOCK = 2**21  # resampled units held at once


class Outcomes(NamedTuple):
    """What happened to every test clip in every run of one setting."""

    label: NDArray[Any]  # (clips,) class id
    unseen: NDArray[np.bool_]  # (clips,) whether it is an unseen class
    correct: NDArray[np.bool_]  # (clips, seeds) classified as its own class among all classes
    zero_shot: NDArray[np.bool_]  # (clips, seeds) and among unseen classes; of no meaning for clips of seen ones
    video: NDArray[Any] | None = None  # (clips,) equal index = same source video
    seeded: bool = True  # False: every seed of the method gives the same result, so that one run is enough


class Numbers(NamedTuple):
    """The four metrics as fractions, arrays of one shape."""

    seen: Floats
    unseen: Floats
    harmonic_mean: Floats
    zero_shot: Floats


class Resampled(NamedTuple):
    """One setting under the bootstrap: each metric (replicates,), like the board's the mean over the seeds."""

    seen: Floats
    unseen: Floats
    harmonic_mean: Floats
    zero_shot: Floats
    observed: Numbers  # (seeds,) on the test set as it is
    seeded: bool
    classes: tuple[int, int] | None  # numbers of seen and of unseen classes, where classes were drawn

    def interval(self, metric: str, level: float = LEVEL) -> Interval | None:
        """The percentile interval of a metric; widened where classes were drawn, and None for a single class (`interval`)."""
        seen, unseen = self.classes or (None, None)
        units = {"seen": seen, "harmonic_mean": min(self.classes) if self.classes else None}.get(metric, unseen)
        return None if units == 1 else interval(getattr(self, metric), level, units)


class Paired(NamedTuple):
    """The paired bootstrap: a difference in HM of the seed-averaged S and U, its interval and two-sided p."""

    difference: float
    low: float
    high: float
    p: float


class Comparison(NamedTuple):
    """Two settings compared in HM. `seeds` and `together` are None where a second run is missing, or no seed changes either."""

    difference: float  # of the means over the seeds, first minus second
    seeds: float | None  # p of Welch's test: is it more than other seeds make?
    clips: Paired  # is it more than other test clips make?
    together: float | None  # p with both spreads added
    p: float | None  # the largest of the three; None: cannot tell, for want of a second run


# over seeds


def t_half_width(values: Sequence[float], level: float = LEVEL) -> float | None:
    """Half the width of Student's t interval of a mean, t(n−1) · s / √n; None for one value.

    Covers as often as it says where the values are normal.
    """
    n = len(values)
    return _quantile(n - 1, level) * statistics.stdev(values) / math.sqrt(n) if n > 1 else None


def prediction_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Where one more run would fall: mean ± t(n−1) · s · √(1 + 1/n); None for one value, which cannot tell."""
    half = t_half_width(values, level)
    if half is None:
        return None
    mean, reach = statistics.fmean(values), half * math.sqrt(len(values) + 1)  # s √(1 + 1/n) = (s / √n) √(n + 1)
    return mean - reach, mean + reach


def welch(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p of equal means where variances may differ (Welch 1947); None where either has one value.

    Values without any variance are taken as exact: one such side leaves the t test of the other against it, two give p = 0
    for different means and 1 for equal ones. Rejects equal means in 4 to 5 % of simulations, and in 7 % where three runs
    stand against five of a fifth of their spread.
    """
    if min(len(first), len(second)) < 2:
        return None
    return _student(statistics.fmean(first) - statistics.fmean(second), [_of_mean(first), _of_mean(second)])


def _of_mean(values: Sequence[float]) -> tuple[float, float]:
    """(variance of the mean, degrees of freedom)."""
    return statistics.variance(values) / len(values), len(values) - 1


def _student(difference: float, parts: Sequence[tuple[float, float]]) -> float:
    """Two-sided p of a difference whose variance is a sum of parts, each with its degrees of freedom (Satterthwaite 1946)."""
    from scipy.special import ndtr, stdtr

    total = sum(variance for variance, _ in parts)
    if total == 0:
        return float(difference == 0)
    inverse = sum((variance / total) ** 2 / freedom for variance, freedom in parts)
    z = -abs(difference) / math.sqrt(total)
    return 2 * float(stdtr(1 / inverse, z) if inverse > 0 else ndtr(z))


def _quantile(freedom: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


# over the test set


class _Stratum(NamedTuple):
    """What is resampled on its own: the units of a class, or the classes that are seen, or unseen."""

    unseen: bool
    hits: Floats  # (units, columns) correct clips; of unseen classes, those among unseen classes follow
    clips: Floats  # (units,)


def per_seed(outcomes: Outcomes) -> Numbers:
    """S, U, HM and ZSL of every run, (seeds,)."""
    return Numbers(*(values[0] for values in _observed(_strata([outcomes], "clips"))))


def bootstrap(outcomes: Sequence[Outcomes], unit: Unit, replicates: int = REPLICATES, seed: int = 0) -> list[Resampled]:
    """Resample the test set under several settings at once: the same draws for all, so that they can be compared in pairs.

    clips: within each class, so that none loses its clips. videos: source videos within each class, whose clips stay
    together; the class's accuracy is that of the clips drawn. classes: within seen and within unseen, each with its accuracy.
    Of n things n − 1 are drawn: drawing n makes the variance too small by (n − 1) / n (Rao and Wu 1988), which matters for a
    dozen clips, three videos or six classes. Of a single thing the variance is unknown and counts as 0. The draws are those
    of RandomState, whose stream is frozen: one seed, one result. Settings may have different numbers of seeds.

    Coverage of the 95 % intervals in simulations: clips and videos 92 to 96 %, 78 to 95 % where each class has but two;
    classes, of which U has 9 or 6, 93 to 95 % or 89 to 95 %. Clips that come in videos, resampled as if they did not: 78 to
    87 %, so that the interval over videos is the one to believe. Where every clip is right, or none, it has no width.

    Raises AvgzslError where the settings are not of the same test clips, or none of them says which clips share a video.
    """
    strata = _strata(outcomes, unit)
    observed = _observed(strata)
    drawn = _numbers(strata, _draws(tuple(len(one.clips) for one in strata), replicates, seed))
    classes = (len(strata[0].clips), len(strata[1].clips)) if unit == "classes" else None
    found, start = [], 0
    for one in outcomes:
        own = slice(start, start := start + one.correct.shape[1])
        means = Numbers(*(values[:, own].mean(1) for values in drawn))
        runs = Numbers(*(values[0, own] for values in observed))
        found.append(Resampled(**means._asdict(), observed=runs, seeded=one.seeded, classes=classes))
    return found


def same_clips(first: Outcomes, second: Outcomes) -> bool:
    """Whether two settings are of the same test clips, as far as the clips' classes tell."""
    return np.array_equal(first.label, second.label) and np.array_equal(first.unseen, second.unseen)


def _strata(outcomes: Sequence[Outcomes], unit: Unit) -> list[_Stratum]:
    first = outcomes[0]
    if not all(same_clips(first, other) for other in outcomes):
        raise AvgzslError("the settings are not of the same test clips and cannot be resampled together; compare one data set")
    video = _videos(outcomes) if unit == "videos" else None
    correct, zero_shot = (np.concatenate([one[i] for one in outcomes], axis=1) for i in (2, 3))  # (clips, columns) each
    strata = []
    for label in np.unique(first.label):
        rows = np.flatnonzero(first.label == label)
        unseen = bool(first.unseen[rows[0]])
        right = np.concatenate([correct[rows], zero_shot[rows]], axis=1) if unseen else correct[rows]
        strata.append(_of_class(unseen, right.astype(np.float64), None if video is None else video[rows]))
    return [_of_classes(strata, unseen) for unseen in (False, True)] if unit == "classes" else strata


def _videos(outcomes: Sequence[Outcomes]) -> NDArray[Any]:
    for one in outcomes:
        if one.video is not None:
            return one.video
    raise AvgzslError("no record says which clips share a source video; run one of the settings again, or resample clips")


def _of_class(unseen: bool, right: Floats, video: NDArray[Any] | None) -> _Stratum:
    if video is None:
        return _Stratum(unseen, right, np.ones(len(right)))
    names, unit = np.unique(video, return_inverse=True)
    member = (unit == np.arange(len(names))[:, None]).astype(np.float64)  # (units, clips)
    return _Stratum(unseen, member @ right, member.sum(1))


def _of_classes(strata: Sequence[_Stratum], unseen: bool) -> _Stratum:
    accuracy = np.stack([one.hits.sum(0) / one.clips.sum() for one in strata if one.unseen == unseen])
    return _Stratum(unseen, accuracy, np.ones(len(accuracy)))


def _observed(strata: Sequence[_Stratum]) -> Numbers:
    return _numbers(strata, [np.ones((1, len(one.clips)), np.uint8) for one in strata])


def _numbers(strata: Sequence[_Stratum], taken: Sequence[NDArray[Any]]) -> Numbers:
    """Each metric (replicates, columns): mean over strata of the accuracy of units `taken` so often (replicates, units)."""
    replicates = len(taken[0])
    sums = {one.unseen: np.zeros((replicates, one.hits.shape[1])) for one in strata}
    for one, times in zip(strata, taken, strict=True):
        for start in range(0, replicates, step := max(1, _BLOCK // len(one.clips))):
            some = times[start : start + step].astype(np.float64)  # (rows, units)
            sums[one.unseen][start : start + step] += (some @ one.hits) / (some @ one.clips)[:, None]
    seen = sums[False] / sum(not one.unseen for one in strata)
    unseen, zero_shot = np.split(sums[True] / sum(one.unseen for one in strata), 2, axis=1)
    return Numbers(seen, unseen, harmonic_mean(seen, unseen), zero_shot)


@lru_cache(maxsize=4)
def _draws(units: tuple[int, ...], replicates: int, seed: int) -> list[NDArray[Any]]:
    """How often each unit of each stratum is drawn, (replicates, units) a stratum; kept, since every key of a test set asks."""
    random = np.random.RandomState(seed)
    return [np.concatenate(list(_drawn(random, count, replicates))) for count in units]


def _drawn(random: np.random.RandomState, units: int, replicates: int) -> Iterator[NDArray[Any]]:
    for start in range(0, replicates, step := max(1, _BLOCK // units)):
        rows = min(step, replicates - start)
        places = random.randint(0, units, (rows, max(1, units - 1)), dtype=np.int64) + units * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * units).reshape(rows, units).astype(np.min_scalar_type(units))


# two settings, and many


def interval(replicates: Floats, level: float = LEVEL, units: int | None = None) -> Interval:
    """The percentile interval of replicates (replicates,).

    `units`: how few independent things they were drawn from, at least 2. The percentiles are then those where Student's t of
    units − 1 degrees of freedom would lie under the normal (Hesterberg 2015, the expanded percentile interval). Without, six
    unseen classes are covered in 85 to 90 % instead of 95 %; with it, in 89 to 95 %, least where most accuracies are near 0.
    """
    from scipy.special import ndtr, stdtrit

    tail = (1 - level) / 2 if units is None else float(ndtr(stdtrit(units - 1, (1 - level) / 2)))
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def paired(first: Resampled, second: Resampled) -> Paired:
    """The paired bootstrap of HM between two settings of one `bootstrap`, first minus second, both at the same draws.

    HM is that of the S and U of seed-averaged correctness. The p is two-sided, and never 0: 2 (1 + the replicates on the
    rarer side of no difference) / (1 + replicates), at most 1.
    """
    one, other = (harmonic_mean(numbers.seen, numbers.unseen) for numbers in (first, second))
    low, high = interval(one - other)
    rarer = min(int(np.count_nonzero(one <= other)), int(np.count_nonzero(one >= other)))
    at = [harmonic_mean(one.observed.seen.mean(), one.observed.unseen.mean()) for one in (first, second)]
    return Paired(float(at[0] - at[1]), low, high, min(1.0, 2 * (1 + rarer) / (1 + len(one))))


def compare(first: Resampled, second: Resampled) -> Comparison:
    """Two settings of one `bootstrap` over clips: are they apart over seeds, over test clips, and over both at once?

    Each of the two tests takes the other's spread for none: where both are alike, equal methods pass both in up to 10 %.
    With the spreads added (Welch's statistic, the bootstrap's variance beside those of the seeds) it is 3.5 to 5 %. A setting
    that no seed changes has no variance over seeds; of two such the test over clips decides alone.
    """
    runs = [(one.observed.harmonic_mean.tolist(), one.seeded) for one in (first, second)]
    difference, clips = statistics.fmean(runs[0][0]) - statistics.fmean(runs[1][0]), paired(first, second)
    seeded = [values for values, is_seeded in runs if is_seeded]
    if not seeded:
        return Comparison(difference, None, clips, None, clips.p)
    if min(map(len, seeded)) < 2:
        return Comparison(difference, None, clips, None, None)
    parts = [_of_mean(values) for values in seeded]
    spread = float(np.var(first.harmonic_mean - second.harmonic_mean)), math.inf
    seeds, together = _student(difference, parts), _student(difference, [*parts, spread])
    agree = difference * clips.difference > 0  # the mean of HM and the HM of means may differ in sign
    return Comparison(difference, seeds, clips, together, max(seeds, clips.p, together) if agree else 1.0)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p (Holm 1979): those up to ALPHA are rejected, and all true hypotheses are kept with probability 1 − ALPHA.

    None, a comparison that cannot tell, stays None and does not count: whether it can was known before any result.
    """
    found: list[float | None] = [None] * len(p_values)
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        found[i] = largest
    return found


def separated(p: float | None) -> bool:
    """Whether a (Holm-adjusted) p sets two settings apart; one that cannot tell does not."""
    return p is not None and p <= ALPHA


def tie_groups(rows: int, p_value: Callable[[int, int], float | None]) -> list[int]:
    """The tie group of each row, counted from 1; rows are given best first, `p_value(i, j)` compares two of them.

    The best row leads group 1 with every row that is not separated from it, after Holm over the comparisons of the others with
    it; the best of the rest leads the next group in the same way. Against a row named beforehand, Holm keeps the risk of any
    false separation at 5 %. The best row is picked by the numbers that are tested, and outruns equal rows by luck: of 5, 10,
    20 or 50 rows that are all equal, some row is set below the best in 9, 15, 22 or 38 % (simulated).
    """
    groups = [0] * rows
    rest, group = list(range(rows)), 0
    while rest:
        leader, *others = rest
        group += 1
        adjusted = holm([p_value(leader, other) for other in others])
        rest = [other for other, p in zip(others, adjusted, strict=True) if separated(p)]
        for row in {leader, *others} - set(rest):
            groups[row] = group
    return groups

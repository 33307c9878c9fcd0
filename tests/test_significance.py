"""Intervals, tests and tie groups, each against scipy or against brute force."""

import itertools
import math
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from avgzsl_bench import significance
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.metrics import harmonic_mean
from avgzsl_bench.significance import Outcomes, bootstrap, compare, holm, paired, per_seed, tie_groups, welch

METRICS = ("seen", "unseen", "harmonic_mean", "zero_shot")
values = st.lists(st.floats(0, 1).map(lambda value: round(value, 6)), min_size=2, max_size=8)


def made(seed=0, seeds=3, skill=0.5, sizes=((6, 4, 7), (9, 5)), **changes) -> Outcomes:
    """Synthetic outcomes: clips of seen classes and of unseen ones, in videos of one to three clips; classes are mixed."""
    label = np.repeat(np.arange(sum(map(len, sizes))), sum(sizes, ()))
    rng = np.random.default_rng(0)
    order, video = rng.permutation(len(label)), np.cumsum(rng.random(len(label)) < 0.5)
    rng = np.random.default_rng(seed)
    correct, zero_shot = rng.random((2, len(label), seeds)) < skill
    unseen = label >= len(sizes[0])
    own = {
        "label": label[order],
        "unseen": unseen[order],
        "correct": correct,
        "zero_shot": zero_shot | correct,
        "video": video[order],
    }
    return Outcomes(**(own | changes))


# over seeds


@settings(max_examples=40, deadline=None)
@given(values, st.floats(0.5, 0.99))
def test_the_interval_of_a_mean_is_students(numbers, level):
    scale = np.std(numbers, ddof=1) / math.sqrt(len(numbers))
    if scale > 1e-9:
        low, high = scipy.stats.t.interval(level, len(numbers) - 1, np.mean(numbers), scale)
        assert significance.t_half_width(numbers, level) == pytest.approx((high - low) / 2)


@settings(max_examples=40, deadline=None)
@given(values)
def test_the_prediction_interval_is_that_of_one_more_run(numbers):
    n, mean, spread = len(numbers), np.mean(numbers), np.std(numbers, ddof=1)
    if spread > 1e-9:
        expected = scipy.stats.t.interval(0.95, n - 1, mean, spread * math.sqrt(1 + 1 / n))
        assert significance.prediction_interval(numbers) == pytest.approx(expected)


def test_one_run_tells_no_spread():
    assert significance.t_half_width([0.4]) is None
    assert significance.prediction_interval([0.4]) is None
    assert welch([0.4], [0.1, 0.2, 0.3]) is None
    assert welch([0.1, 0.2, 0.3], [0.4]) is None


@settings(max_examples=40, deadline=None)
@given(values, values)
def test_welch_is_scipys(first, second):
    if min(np.ptp(first), np.ptp(second)) > 1e-6:
        assert welch(first, second) == pytest.approx(scipy.stats.ttest_ind(first, second, equal_var=False).pvalue, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(values, st.floats(0, 1))
def test_welch_against_runs_without_variance_is_the_t_test_of_one_sample(numbers, constant):
    if np.ptp(numbers) > 1e-6:
        expected = scipy.stats.ttest_1samp(numbers, constant).pvalue
        assert welch(numbers, [constant] * 3) == pytest.approx(expected, abs=1e-9)
        assert welch([constant] * 2, numbers) == pytest.approx(expected, abs=1e-9)


def test_two_sides_without_variance_differ_or_do_not():
    assert welch([0.3] * 5, [0.3] * 2) == 1
    assert welch([0.3] * 5, [0.3000001] * 2) == 0


def test_tiny_variances_do_not_underflow():
    assert welch([0.1, 0.1 + 1e-17, math.nextafter(0.1, 1)], [0.5, math.nextafter(0.5, 1)]) < 1e-10
    assert welch([1e-150, 2e-150], [1e-150, 3e-150]) == pytest.approx(welch([1, 2], [1, 3]))


# over the test set


def accuracy(outcomes, which, unseen):
    """Mean over classes of the share of correct clips, (seeds,), by loops."""
    classes = [own for own in np.unique(outcomes.label) if outcomes.unseen[outcomes.label == own][0] == unseen]
    return np.mean([getattr(outcomes, which)[outcomes.label == own].mean(0) for own in classes], axis=0)


def test_per_seed_numbers_are_means_over_classes():
    outcomes = made()
    found = per_seed(outcomes)
    seen, unseen = accuracy(outcomes, "correct", False), accuracy(outcomes, "correct", True)
    expected = seen, unseen, 2 * seen * unseen / (seen + unseen), accuracy(outcomes, "zero_shot", True)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_nothing_right_has_a_harmonic_mean_of_zero():
    outcomes = made(skill=0)
    assert np.all(np.array(per_seed(outcomes)) == 0)
    assert bootstrap([outcomes], "clips", 20)[0].interval("harmonic_mean") == (0, 0)


def drawn(random, replicates, units):
    return random.randint(0, units, (replicates, max(1, units - 1)), dtype=np.int64)


def brute_force(outcomes, unit, replicates, seed):
    """(4, replicates): every replicate is a test set of its own, built from the clips that it draws."""
    random = np.random.RandomState(seed)
    classes = [np.flatnonzero(outcomes.label == own) for own in np.unique(outcomes.label)]
    is_unseen = [bool(outcomes.unseen[rows[0]]) for rows in classes]
    sets = [[] for _ in range(replicates)]  # lists of (unseen, rows), one a drawn class
    if unit == "classes":
        for unseen in (False, True):
            own = [rows for rows, flag in zip(classes, is_unseen, strict=True) if flag == unseen]
            for replicate, picks in enumerate(drawn(random, replicates, len(own))):
                sets[replicate] += [(unseen, own[pick]) for pick in picks]
    else:
        for rows, unseen in zip(classes, is_unseen, strict=True):
            groups = rows if unit == "clips" else outcomes.video[rows]
            parts = [rows[groups == own] for own in np.unique(groups)]
            for replicate, picks in enumerate(drawn(random, replicates, len(parts))):
                sets[replicate].append((unseen, np.concatenate([parts[pick] for pick in picks])))
    found = []
    for chosen in sets:
        seen = np.mean([outcomes.correct[rows].mean(0) for flag, rows in chosen if not flag], axis=0)
        unseen = np.mean([outcomes.correct[rows].mean(0) for flag, rows in chosen if flag], axis=0)
        zero_shot = np.mean([outcomes.zero_shot[rows].mean(0) for flag, rows in chosen if flag], axis=0)
        found.append([part.mean() for part in (seen, unseen, harmonic_mean(seen, unseen), zero_shot)])
    return np.array(found).T


@pytest.mark.parametrize("unit", ["clips", "videos", "classes"])
def test_the_bootstrap_is_that_of_brute_force(unit):
    given_settings = [made(1), made(2, seeds=1, skill=0.3), made(3, seeds=2, skill=0.8)]
    for outcomes, found in zip(given_settings, bootstrap(given_settings, unit, 40, seed=7), strict=True):
        np.testing.assert_allclose(found[:4], brute_force(outcomes, unit, 40, 7), atol=1e-12)
        np.testing.assert_array_equal(found.observed, per_seed(outcomes))


def test_large_draws_are_made_in_blocks(monkeypatch):
    pair = [made(1), made(2)]
    significance._draws.cache_clear()
    monkeypatch.setattr(significance, "_BLOCK", 30)  # three replicates of the largest class
    for outcomes, found in zip(pair, bootstrap(pair, "clips", 40, seed=7), strict=True):
        np.testing.assert_allclose(found[:4], brute_force(outcomes, "clips", 40, 7), atol=1e-12)


def test_videos_of_one_clip_each_are_clips():
    outcomes = made(video=np.arange(31))
    for a, b in zip(bootstrap([outcomes], "videos", 30)[0][:4], bootstrap([outcomes], "clips", 30)[0][:4], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_same_seed_gives_the_same_numbers_for_ever():
    (found,) = bootstrap([made()], "clips", 3)
    (again,) = bootstrap([made()], "clips", 3)
    (other,) = bootstrap([made()], "clips", 3, seed=1)
    assert found.unseen.tolist() == again.unseen.tolist() != other.unseen.tolist()
    assert (108 * found.unseen).round(9).tolist() == [42.75, 65.25, 40.5]


def test_videos_that_one_record_knows_serve_all():
    known, unknown = made(1), made(2, video=None)
    pair = bootstrap([unknown, known], "videos", 20)
    np.testing.assert_array_equal(pair[0].seen, bootstrap([made(2)], "videos", 20)[0].seen)
    with pytest.raises(AvgzslError, match="no record says which clips share a source video"):
        bootstrap([unknown], "videos", 20)


def test_other_clips_cannot_be_resampled_together():
    other = made(sizes=((6, 4, 7), (5, 9)))
    assert significance.same_clips(made(1), made(2))
    assert not significance.same_clips(made(1), other)
    with pytest.raises(AvgzslError, match="not of the same test clips"):
        bootstrap([made(1), other], "clips", 20)


def test_a_class_of_one_clip_keeps_it():
    (found,) = bootstrap([made(sizes=((1,), (1, 1)))], "clips", 20)
    assert np.ptp(found.seen) == np.ptp(found.unseen) == 0
    (found,) = bootstrap([made(sizes=((1, 1), (1,)))], "classes", 20)
    assert found.interval("seen") is not None
    assert found.interval("unseen") is found.interval("harmonic_mean") is found.interval("zero_shot") is None


# the intervals


def test_the_interval_is_of_percentiles():
    assert significance.interval(np.arange(1001.0)) == pytest.approx((25, 975))
    assert significance.interval(np.arange(1001.0), 0.5) == pytest.approx((250, 750))


@pytest.mark.parametrize("units", [2, 6, 9, 1000])
def test_few_units_widen_it_as_student_widens_the_normal(units):
    replicates = scipy.stats.norm.ppf((np.arange(1_000_001) + 0.5) / 1_000_001)
    t = min(scipy.stats.t.ppf(0.975, units - 1), replicates.max())
    assert significance.interval(replicates, units=units) == pytest.approx((-t, t), rel=1e-3)


def test_classes_widen_by_the_number_that_decides():
    (found,) = bootstrap([made(sizes=((3,) * 20, (3,) * 5))], "classes", 400)
    wide = {"seen": 20, "unseen": 5, "harmonic_mean": 5, "zero_shot": 5}
    for metric, units in wide.items():
        assert found.interval(metric) == significance.interval(getattr(found, metric), units=units)
    (few,) = bootstrap([made(sizes=((3,) * 4, (3,) * 12))], "classes", 400)
    assert few.interval("harmonic_mean") == significance.interval(few.harmonic_mean, units=4)
    (clips,) = bootstrap([made(sizes=((3,) * 4, (3,) * 12))], "clips", 400)
    assert clips.interval("harmonic_mean", 0.9) == significance.interval(clips.harmonic_mean, 0.9)


def test_the_bootstrap_over_classes_is_scipys():
    """Scipy draws as many as there are, which narrows 60 classes by 0.8 %; the rest is chance."""
    outcomes = made(sizes=((20,) * 60, (30,) * 60), seeds=1)
    rates = np.random.default_rng(1).beta(2, 2, 120)
    outcomes = outcomes._replace(correct=np.random.default_rng(2).random((3000, 1)) < rates[outcomes.label][:, None])
    (found,) = bootstrap([outcomes], "classes", 9999)
    by_class = np.array([outcomes.correct[outcomes.label == own].mean() for own in range(120)])

    def of_both(seen, unseen, axis):
        return harmonic_mean(seen.mean(axis), unseen.mean(axis))

    for metric, data, statistic in (
        ("unseen", (by_class[60:],), np.mean),
        ("harmonic_mean", (by_class[:60], by_class[60:]), of_both),
    ):
        theirs = scipy.stats.bootstrap(data, statistic, method="percentile", rng=np.random.default_rng(0)).confidence_interval
        assert significance.interval(getattr(found, metric)) == pytest.approx(theirs, abs=0.05 * (theirs.high - theirs.low))


# two settings


def both(first, second, replicates=200):
    return bootstrap([first, second], "clips", replicates)


def test_the_paired_bootstrap_is_of_seed_averaged_correctness():
    one, other = both(made(1), made(2, skill=0.35))
    found = paired(one, other)
    mean = [made(1).correct.mean(1, keepdims=True), made(2, skill=0.35).correct.mean(1, keepdims=True)]
    at = [made(correct=part, zero_shot=part) for part in mean]
    numbers = [[accuracy(part, "correct", unseen)[0] for unseen in (False, True)] for part in at]
    hm = [2 * s * u / (s + u) for s, u in numbers]
    assert found.difference == pytest.approx(hm[0] - hm[1])
    differences = [
        np.subtract(*(2 * a.seen[i] * a.unseen[i] / (a.seen[i] + a.unseen[i]) for a in (one, other))) for i in range(200)
    ]
    assert (found.low, found.high) == pytest.approx(np.percentile(differences, [2.5, 97.5]))
    rarer = min(sum(d <= 0 for d in differences), sum(d >= 0 for d in differences))
    assert 0 < rarer < 100
    assert found.p == pytest.approx(2 * (1 + rarer) / 201)
    back = paired(other, one)
    assert (back.difference, back.low, back.high) == pytest.approx((-found.difference, -found.high, -found.low))
    assert back.p == found.p


def test_the_paired_p_is_never_0_nor_above_1():
    one, other = both(made(1, skill=0.9), made(2, skill=0.02))
    assert paired(one, other).p == pytest.approx(2 / 201)
    assert paired(one, one) == (0, 0, 0, 1)


def test_enough_replicates_are_drawn_for_holm_over_fifty_rows():
    smallest = 2 / (significance.REPLICATES + 1)
    assert significance.separated(holm([smallest] * 50)[0])


def test_settings_that_no_seed_changes_are_tested_over_clips_alone():
    first, second = made(1, seeds=1, skill=0.9, seeded=False), made(2, seeds=1, skill=0.1, seeded=False)
    found = compare(*both(first, second))
    assert (found.seeds, found.together, found.p) == (None, None, found.clips.p)
    assert found.difference == pytest.approx(per_seed(first).harmonic_mean[0] - per_seed(second).harmonic_mean[0])


def test_a_setting_that_no_seed_changes_is_a_constant_to_the_other():
    first, second = made(1, seeds=4, skill=0.9), made(2, seeds=1, skill=0.1, seeded=False)
    runs, constant = per_seed(first).harmonic_mean, per_seed(second).harmonic_mean[0]
    for pair, sign in ((both(first, second), 1), (both(second, first), -1)):
        found = compare(*pair)
        assert found.seeds == pytest.approx(scipy.stats.ttest_1samp(runs, constant).pvalue)
        assert found.difference == pytest.approx(sign * (runs.mean() - constant))


@pytest.mark.parametrize(("seeds", "others"), [(1, 4), (4, 1), (1, 1)])
def test_one_seeded_run_cannot_tell(seeds, others):
    found = compare(*both(made(1, seeds=seeds, skill=0.9), made(2, seeds=others, skill=0.1)))
    assert (found.seeds, found.together, found.p) == (None, None, None)
    assert found.clips.p < 0.05
    assert not significance.separated(found.p)


def test_a_comparison_takes_the_largest_p():
    one, other = both(made(1, seeds=4, skill=0.7), made(2, seeds=3, skill=0.4))
    found = compare(one, other)
    a, b = one.observed.harmonic_mean, other.observed.harmonic_mean
    assert found.seeds == pytest.approx(scipy.stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert found.clips == paired(one, other)
    parts = [np.var(a, ddof=1) / 4, np.var(b, ddof=1) / 3, np.var(one.harmonic_mean - other.harmonic_mean)]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 2)
    expected = 2 * scipy.stats.t.sf(abs(a.mean() - b.mean()) / math.sqrt(sum(parts)), freedom)
    assert found.together == pytest.approx(expected)
    assert found.p == max(found.seeds, found.clips.p, found.together)


def normal(runs, spread):
    """A setting of these HM, whose replicates are normal around their mean."""
    around = statistics.fmean(runs) + spread * scipy.stats.norm.ppf((np.arange(999) + 0.5) / 999)
    numbers = significance.Numbers(*[np.array(runs)] * 4)
    return significance.Resampled(*[around] * 4, observed=numbers, seeded=True, classes=None)


@pytest.mark.parametrize(
    ("first", "second", "spread", "largest"),
    [
        ((0.50, 0.52), (0.40, 0.43), 0.01, "seeds"),  # with two runs of each, a spread that is better known outweighs its size
        ((0.50, 0.50), (0.40, 0.40), 0.01, "clips"),  # never 0
        ((0.50, 0.54, 0.52, 0.48), (0.46, 0.49, 0.48, 0.44), 0.02, "together"),
    ],
)
def test_any_of_the_three_may_be_the_largest(first, second, spread, largest):
    found = compare(normal(first, spread), normal(second, 0.0))
    three = {"seeds": found.seeds, "clips": found.clips.p, "together": found.together}
    assert found.p == three[largest] > max(p for name, p in three.items() if name != largest)


def test_without_variance_over_seeds_both_spreads_are_that_over_clips():
    first, second = (made(seed, seeds=1, skill=skill) for seed, skill in ((1, 0.7), (2, 0.5)))
    pair = both(
        *(one._replace(correct=one.correct.repeat(3, 1), zero_shot=one.zero_shot.repeat(3, 1)) for one in (first, second))
    )
    found = compare(*pair)
    z = found.difference / np.std(pair[0].harmonic_mean - pair[1].harmonic_mean)
    assert found.seeds == 0
    assert found.together == pytest.approx(2 * scipy.stats.norm.sf(abs(z)))


def test_differences_of_opposite_sign_never_separate():
    """Seeds that trade S against U: their mean HM is low, the HM of their mean S and U is high."""
    one, other = both(made(1, seeds=3), made(2, seeds=3, skill=0.4))
    ends = one.observed._replace(seen=np.array([0.9, 0.1, 0.9]), unseen=np.array([0.1, 0.9, 0.1]), harmonic_mean=np.full(3, 0.18))
    flat = other.observed._replace(seen=np.full(3, 0.3), unseen=np.full(3, 0.3), harmonic_mean=np.array([0.3, 0.301, 0.299]))
    high = one._replace(observed=ends, seen=np.full(200, 0.63), unseen=np.full(200, 0.37))
    low = other._replace(observed=flat, seen=np.full(200, 0.3), unseen=np.full(200, 0.3))
    found = compare(high, low)
    assert found.difference < 0 < found.clips.difference
    assert max(found.seeds, found.clips.p) < 0.05
    assert found.p == 1


# many settings

some = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(some)
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    known = [i for i, p in enumerate(p_values) if p is not None]
    subsets = [chosen for n in range(1, len(known) + 1) for chosen in itertools.combinations(known, n)]
    bonferroni = {chosen: min(1, len(chosen) * min(p_values[i] for i in chosen)) for chosen in subsets}
    expected = [None if p is None else max(bonferroni[own] for own in subsets if i in own) for i, p in enumerate(p_values)]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_by_hand():
    assert holm([0.01, None, 0.04, 0.03]) == [0.03, None, 0.06, 0.06]
    assert holm([]) == []


def test_what_counts_as_separated():
    assert [significance.separated(p) for p in (0.0, 0.05, 0.0500001, None)] == [True, True, False, False]


def grouped(matrix):
    """Tie groups by their definition, recursively: {row: group}."""

    def split(rows, group):
        if not rows:
            return {}
        leader, others = rows[0], rows[1:]
        tested = sorted((matrix[leader][j], j) for j in others if matrix[leader][j] is not None)
        apart = set()
        for rank, (p, j) in enumerate(tested):  # Holm's own words: stop at the first that is not rejected
            if p > 0.05 / (len(tested) - rank):
                break
            apart.add(j)
        own = {row: group for row in rows if row not in apart}
        return own | split([row for row in others if row in apart], group + 1)

    return split(list(range(len(matrix))), 1)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 7), st.randoms(use_true_random=False))
def test_tie_groups_are_those_of_their_definition(rows, random):
    choices = [None, 0.001, 0.008, 0.012, 0.02, 0.04, 0.3]
    matrix = [[random.choice(choices) for _ in range(rows)] for _ in range(rows)]
    expected = grouped(matrix)
    assert tie_groups(rows, lambda i, j: matrix[i][j]) == [expected[row] for row in range(rows)]


def test_a_row_joins_the_group_of_the_best_that_it_is_not_separated_from():
    p_values = {(0, 1): 0.001, (0, 2): 0.2, (0, 3): 0.001, (0, 4): None, (1, 3): 0.03}
    assert tie_groups(5, lambda i, j: p_values[i, j]) == [1, 2, 1, 3, 1]
    assert tie_groups(1, lambda i, j: 0.0) == [1]


def test_equal_settings_share_a_group_and_different_ones_do_not():
    found = bootstrap([made(s, seeds=5, skill=skill, sizes=((20,) * 4, (20,) * 4)) for s, skill in
                       ((1, 0.9), (2, 0.9), (3, 0.5), (4, 0.5))], "clips", 999)  # fmt: skip
    assert statistics.fmean(found[0].observed.harmonic_mean) > statistics.fmean(found[2].observed.harmonic_mean)
    assert tie_groups(4, lambda i, j: compare(found[i], found[j]).p) == [1, 1, 2, 2]

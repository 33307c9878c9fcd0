"""Intervals cover, and tests reject, as often as they say: simulated seeds, clips, videos and classes. Synthetic throughout."""

import numpy as np
import pytest
from scipy.stats import norm

from avgzsl_bench import significance
from avgzsl_bench.metrics import harmonic_mean
from avgzsl_bench.significance import Outcomes, bootstrap, compare, holm, tie_groups, welch

SEEDS = 3
METRICS = ("seen", "unseen", "harmonic_mean")


# over seeds


def test_the_interval_of_a_mean_covers_95_percent():
    runs = np.random.default_rng(0).normal(0.4, 0.05, (4000, 5))
    hits = [abs(own.mean() - 0.4) <= significance.t_half_width(own.tolist()) for own in runs]
    assert 0.94 <= np.mean(hits) <= 0.96


@pytest.mark.parametrize("n", [2, 5])
def test_the_prediction_interval_covers_95_percent_of_further_runs(n):
    rng = np.random.default_rng(n)
    hits = []
    for own, further in zip(rng.normal(0.4, 0.05, (4000, n)), rng.normal(0.4, 0.05, 4000), strict=True):
        low, high = significance.prediction_interval(own.tolist())
        hits.append(low <= further <= high)
    assert 0.94 <= np.mean(hits) <= 0.96


@pytest.mark.parametrize(("spread", "n", "most"), [(1, 5, 0.05), (5, 5, 0.06), (5, 3, 0.075)])
def test_welch_rejects_equal_means_about_as_often_as_it_says(spread, n, most):
    """Three runs that spread much more than the other five: 7 %, as the docstring says."""
    rng = np.random.default_rng(1)
    pairs = zip(rng.normal(0, 1, (2000, 5)), rng.normal(0, spread, (2000, n)), strict=True)
    assert 0.035 <= np.mean([welch(a.tolist(), b.tolist()) <= 0.05 for a, b in pairs]) <= most


# over the test set


def clips(rng, counts, rates, videos=False) -> Outcomes:
    """Clips of classes, right with the class's rate (classes, seeds) in every run; runs agree about hard clips.

    In videos of one to four clips, two clips in three are right or wrong as their whole video is.
    """
    units = np.repeat(np.arange(len(counts)), counts)
    video = np.repeat(np.arange(len(units)), rng.integers(1, 5, len(units)) if videos else 1)
    label = units[video]
    hard = rng.random(len(units))[video]
    if videos:
        hard = np.where(rng.random(len(label)) < 2 / 3, hard, rng.random(len(label)))
    right = hard[:, None] < rates[label]  # (clips, seeds)
    return Outcomes(label, label >= len(counts) - UNSEEN, right, right, video)


SEEN, UNSEEN = 10, 5


def covered(few, many, unit, analysed, simulations=250):
    """How often each metric's interval holds its true value; `few` things in every seen class, `many` in an unseen one."""
    rng = np.random.default_rng(3)
    hits = dict.fromkeys(METRICS, 0)
    for number in range(simulations):
        rates = rng.uniform(0.15, 0.85, (SEEN + UNSEEN, SEEDS))
        seen, unseen = rates[:SEEN].mean(0), rates[SEEN:].mean(0)
        true = {"seen": seen.mean(), "unseen": unseen.mean(), "harmonic_mean": harmonic_mean(seen, unseen).mean()}
        outcomes = clips(rng, [few] * SEEN + [many] * UNSEEN, rates, videos=unit == "videos")
        (found,) = bootstrap([outcomes], analysed, 299, number)
        for metric in METRICS:
            low, high = found.interval(metric)
            hits[metric] += low <= true[metric] <= high
    return {metric: count / simulations for metric, count in hits.items()}


def test_intervals_over_clips_cover():
    found = covered(3, 20, "clips", "clips")
    assert all(0.905 <= share <= 0.975 for share in found.values()), found


def test_intervals_over_videos_cover():
    found = covered(3, 12, "videos", "videos")
    assert all(0.905 <= share <= 0.975 for share in found.values()), found


def test_two_clips_a_class_are_too_few():
    found = covered(2, 2, "clips", "clips")
    assert 0.72 <= found["unseen"] <= 0.85, found
    assert 0.85 <= found["seen"] <= 0.95, found


def test_clips_that_come_in_videos_need_the_interval_over_videos():
    found = covered(8, 12, "videos", "clips")
    assert all(0.7 <= share <= 0.9 for share in found.values()), found


def over_classes(unseen, shape, simulations=300):
    """How often the interval over classes holds HM, widened and not; unseen classes' accuracies have a beta distribution."""
    rng, label = np.random.default_rng(4), np.repeat(np.arange(42 + unseen), 20)
    true = harmonic_mean(np.float64(0.5), np.float64(shape[0] / sum(shape)))
    hits = np.zeros(2)
    for number in range(simulations):
        rates = np.concatenate([rng.beta(2.5, 2.5, 42), rng.beta(*shape, unseen)])
        right = rng.random((len(label), 1)) < rates[label][:, None]
        (found,) = bootstrap([Outcomes(label, label >= 42, right, right)], "classes", 399, number)
        ends = found.interval("harmonic_mean"), significance.interval(found.harmonic_mean)
        hits += [low <= true <= high for low, high in ends]
    return hits / simulations


@pytest.mark.parametrize(
    ("unseen", "shape", "least", "most"), [(9, (1, 1.5), 0.925, 0.97), (6, (1, 1.5), 0.92, 0.96), (6, (0.5, 1.5), 0.86, 0.92)]
)
def test_intervals_over_classes_cover_as_the_docstring_says(unseen, shape, least, most):
    widened, plain = over_classes(unseen, shape)
    assert least <= widened <= most
    assert plain <= min(0.93, widened - 0.02)


# two settings


def equal_settings(rng, spread):
    """Two settings of equal expected accuracy: the same classes, clips of their own difficulty, five seeds that shift all."""
    label = np.repeat(np.arange(SEEN + UNSEEN), [8] * SEEN + [16] * UNSEEN)
    shared = rng.normal(0, 1, SEEN + UNSEEN)[label] + rng.normal(0, 1, len(label))
    for _ in range(2):
        own = shared[:, None] + rng.normal(0, 1, (len(label), 1)) + rng.normal(0, spread, 5)
        right = own + rng.logistic(0, 0.3, (len(label), 5)) > 0.4
        yield Outcomes(label, label >= SEEN, right, right)


def rejections(spread, simulations=300):
    """How often equal settings are told apart: by the test over clips, by both tests, by all."""
    rng, found = np.random.default_rng(5), []
    for number in range(simulations):
        result = compare(*bootstrap(list(equal_settings(rng, spread)), "clips", 299, number))
        found.append((result.clips.p, max(result.seeds, result.clips.p), result.p))
    return (np.array(found) <= 0.05).mean(0)


def test_the_paired_bootstrap_rejects_equal_settings_in_5_percent():
    clips_alone, _, all_three = rejections(spread=0)
    assert 0.03 <= clips_alone <= 0.075
    assert all_three <= 0.055


def test_only_with_both_spreads_added_are_equal_settings_kept_together():
    _, both, all_three = rejections(spread=0.2)
    assert both >= 0.07
    assert 0.02 <= all_three <= 0.055


# many settings


def test_holm_keeps_the_risk_of_any_false_rejection_at_5_percent():
    rng = np.random.default_rng(6)
    p_values = rng.random((4000, 10))
    p_values[:, 7:] /= 1e4  # three that are truly different
    found = [holm(own.tolist()) for own in p_values]
    assert 0.035 <= np.mean([min(own[:7]) <= 0.05 for own in found]) <= 0.055
    assert np.mean([max(own[7:]) <= 0.05 for own in found]) > 0.98


@pytest.mark.parametrize(("rows", "low", "high"), [(5, 0.075, 0.105), (20, 0.19, 0.25)])
def test_the_best_of_equal_rows_leaves_some_behind_as_often_as_the_docstring_says(rows, low, high):
    def split(means):
        p_values = 2 * norm.sf(abs(means[:, None] - means) / np.sqrt(2))
        return max(tie_groups(rows, lambda i, j: p_values[i, j])) > 1

    drawn = np.random.default_rng(7).normal(0, 1, (1500, rows))
    assert low <= np.mean([split(-np.sort(-own)) for own in drawn]) <= high
    first_is_no_choice = np.mean([split(own) for own in drawn])
    assert first_is_no_choice <= 0.055 + 0.05 * (rows > 5)

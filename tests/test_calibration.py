"""The seen bias: the exact sweep against brute force, its rules for ties and ends, the grid, AUSUC."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avgzsl_bench import calibration
from avgzsl_bench.calibration import ausuc, best_bias, grid_bias, oracle, score_scale, sweep
from avgzsl_bench.contracts import Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.metrics import Decisions, at_bias, gap, zero_shot

SEEN, UNSEEN = [0, 2, 5], [1, 4]
GRID = Method.reference_biases


def random_decisions(seed: int, levels: int) -> Decisions:
    """Synthetic decisions; few levels: many clips share a change point."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([SEEN, UNSEEN, rng.choice(SEEN + UNSEEN, 25)]).astype(np.int16)
    right = rng.random((2, len(label))) < 0.7
    seen = np.where(right[0] & np.isin(label, SEEN), label, rng.choice(SEEN, len(label)))
    unseen = np.where(right[1] & np.isin(label, UNSEEN), label, rng.choice(UNSEEN, len(label)))
    first, second = (rng.integers(-levels, levels, (2, len(label))) / 8).astype(np.float32)
    return Decisions(label, seen.astype(np.int16), first, unseen.astype(np.int16), second)


def made(*clips: tuple[int, int, float, int]) -> Decisions:
    """Decisions of (label, best seen, gap, best unseen)."""
    label, seen, gaps, unseen = (np.array(column) for column in zip(*clips, strict=True))
    zero = np.zeros(len(clips), np.float32)
    return Decisions(label.astype(np.int16), seen.astype(np.int16), gaps.astype(np.float32), unseen.astype(np.int16), zero)


decisions = st.builds(random_decisions, st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 10**6]))


def between(points: np.ndarray) -> np.ndarray:
    """One bias inside every open interval around the points."""
    return np.concatenate([[points[0] - 1], (points[1:] + points[:-1]) / 2, [points[-1] + 1]])


@settings(max_examples=80, deadline=None)
@given(decisions)
def test_sweep_equals_brute_force(given_decisions):
    curve = sweep(given_decisions, SEEN, UNSEEN)
    every = between(np.unique(gap(given_decisions)))  # inside every interval on which any decision is constant
    brute = np.array([at_bias(given_decisions, bias, SEEN, UNSEEN, "corrected") for bias in every])
    swept = np.stack([curve.seen, curve.unseen, curve.harmonic_mean], 1)[np.searchsorted(curve.points, every)]
    np.testing.assert_allclose(swept, brute, atol=1e-12)
    reference = [at_bias(given_decisions, bias, SEEN, UNSEEN, "reference") for bias in every]
    np.testing.assert_array_equal(brute, reference)
    bias, value = best_bias(curve)
    assert value == pytest.approx(brute[:, 2].max(), abs=1e-12)
    assert at_bias(given_decisions, bias, SEEN, UNSEEN, "corrected").harmonic_mean == pytest.approx(value, abs=1e-12)
    assert oracle(curve) == pytest.approx(value, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(decisions)
def test_every_point_of_the_sweep_changes_something_and_the_ends_are_the_extremes(given_decisions):
    curve = sweep(given_decisions, SEEN, UNSEEN)
    assert np.all(np.diff(curve.points) > 0)
    assert np.all((np.diff(curve.seen) < 0) | (np.diff(curve.unseen) > 0))
    assert np.all(np.diff(curve.seen) <= 0)
    assert np.all(np.diff(curve.unseen) >= 0)
    assert (curve.seen[-1], curve.unseen[0]) == (0, 0)
    assert curve.unseen[-1] == pytest.approx(zero_shot(given_decisions, UNSEEN), abs=1e-12)
    assert 0 <= ausuc(curve) <= curve.seen[0] * curve.unseen[-1] + 1e-12


@settings(max_examples=40, deadline=None)
@given(decisions, st.randoms(use_true_random=False))
def test_the_chosen_bias_does_not_depend_on_the_order_of_the_clips(given_decisions, random):
    order = list(range(len(given_decisions.label)))
    random.shuffle(order)
    shuffled = Decisions(*(part[order] for part in given_decisions.columns().values()))
    bias, value = best_bias(sweep(given_decisions, SEEN, UNSEEN))
    assert best_bias(sweep(shuffled, SEEN, UNSEEN)) == (bias, pytest.approx(value, abs=1e-12))


def test_the_best_bias_is_the_midpoint_of_the_best_interval_and_may_be_negative():
    curve = sweep(made((0, 0, 1.0, 1), (1, 0, -5.0, 1), (1, 0, -4.0, 1), (0, 0, -2.0, 1)), [0], [1])
    assert curve.points.tolist() == [-5, -4, -2, 1]
    assert curve.seen.tolist() == [1, 1, 1, 0.5, 0]
    assert curve.unseen.tolist() == [0, 0.5, 1, 1, 1]
    assert best_bias(curve) == (-3.0, 1.0)


def test_ties_go_to_the_interval_nearest_zero():
    # going up: U rises at -6, S falls at -5, U rises at 2, S falls at 3: HM is equal on (-6, -5) and (2, 3)
    clips = [(1, 0, -6.0, 1), (0, 0, -5.0, 1), (1, 0, 2.0, 1), (0, 0, 3.0, 1)]
    curve = sweep(made(*clips), [0], [1])
    assert curve.harmonic_mean == pytest.approx([0, 2 / 3, 0.5, 2 / 3, 0])
    assert best_bias(curve) == (2.5, pytest.approx(2 / 3))
    mirrored = sweep(made(*[(1 - label, 0, -change, 1) for label, _, change, _ in clips]), [0], [1])
    assert best_bias(mirrored) == (-2.5, pytest.approx(2 / 3))


def test_of_tied_intervals_the_nearer_wins_though_its_midpoint_be_further():
    # HM is equal on (-3, -2) and (1, 9), whose midpoints are -2.5 and 5
    clips = made((1, 0, -3.0, 1), (0, 0, -2.0, 1), (1, 0, 1.0, 1), (0, 0, 9.0, 1))
    assert best_bias(sweep(clips, [0], [1])) == (5.0, pytest.approx(2 / 3))


def test_rounding_of_running_sums_does_not_untie():
    # HM is 4/9 on (-3, -2) and (1, 2): (S, U) = (6/9, 1/3) and (3/9, 2/3), which running sums of 1/9 miss by a last digit
    curve = sweep(made(*[(int(label), 0, at - 6.0, 1) for at, label in enumerate("000100010001")]), [0], [1])
    assert len(set(curve.harmonic_mean[[4, 8]])) == 2
    assert best_bias(curve) == (1.5, pytest.approx(4 / 9))


def test_where_nothing_can_be_right_the_bias_is_finite():
    wrong = made((0, 2, 1.0, 1), (2, 0, 2.0, 1), (1, 0, 3.0, 4), (4, 0, 3.0, 1))
    assert best_bias(sweep(wrong, [0, 2], [1, 4])) == (0.0, 0.0)
    only_seen = made((0, 0, 0.5, 1), (2, 2, 9.0, 1), (1, 0, 3.0, 4), (4, 0, 3.0, 1))
    far = made((0, 0, 5.0, 1), (2, 2, 9.0, 1), (1, 0, 3.0, 4), (4, 0, 3.0, 1))
    assert best_bias(sweep(far, [0, 2], [1, 4])) == (0.0, 0.0)
    bias, value = best_bias(sweep(only_seen, [0, 2], [1, 4]))
    assert (bias, value) == (-0.5, 0.0)
    assert at_bias(only_seen, bias, [0, 2], [1, 4], "corrected").seen == 1


def test_no_bias_is_invented_between_neighbouring_numbers():
    low, high = 1.0, np.nextafter(1.0, 2.0)
    curve = calibration.Sweep(
        np.array([low, high, 4.0]), np.array([1, 1, 0.5, 0]), np.array([0, 1, 1, 1.0]), np.array([0, 1, 2 / 3, 0])
    )
    assert best_bias(curve) == (pytest.approx(2.5), pytest.approx(2 / 3))


def test_ausuc_merges_tied_change_points():
    separate = sweep(made((0, 0, 0.0, 1), (1, 0, 1.0, 1)), [0], [1])
    other_way = sweep(made((0, 0, 1.0, 1), (1, 0, 0.0, 1)), [0], [1])
    tied = sweep(made((0, 0, 1.0, 1), (1, 0, 1.0, 1)), [0], [1])
    assert (ausuc(separate), ausuc(other_way), ausuc(tied)) == (0.0, 1.0, 0.5)


def test_ausuc_of_a_curve_by_hand():
    clips = made((0, 0, 3.0, 1), (0, 0, 1.0, 1), (1, 0, 2.0, 1), (1, 0, 0.0, 1))
    assert ausuc(sweep(clips, [0], [1])) == pytest.approx(0.5 * 0.5 + 0.5 * 1)


def test_the_grid_takes_the_first_best_and_zero_stays_zero():
    always = made((0, 0, 9.0, 1), (1, 0, -9.0, 1))
    assert grid_bias(always, [0], [1], GRID) == (0.0, 1.0)
    later = made((0, 0, 9.0, 1), (1, 0, 0.7, 1))
    assert grid_bias(later, [0], [1], GRID) == (pytest.approx(0.8), 1.0)
    assert (len(GRID), GRID[0], GRID[-1]) == (16, 0.0, 3.0)


@settings(max_examples=40, deadline=None)
@given(decisions)
def test_the_sweep_is_never_worse_than_the_grid_off_the_change_points(given_decisions):
    odd = given_decisions._replace(seen_score=given_decisions.seen_score + np.float32(1 / 16))
    assert not np.isin(gap(odd), GRID).any()  # gaps were eighths
    assert oracle(sweep(odd, SEEN, UNSEEN)) >= grid_bias(odd, SEEN, UNSEEN, GRID)[1] - 1e-12


def test_a_class_without_clips_is_an_error():
    with pytest.raises(AvgzslError, match="class id 3,"):
        sweep(random_decisions(0, 4), [*SEEN, 3], UNSEEN)


def test_score_scale_is_the_median_gap():
    assert score_scale(made((0, 0, -4.0, 1), (1, 0, 2.0, 1), (0, 0, 1.0, 1))) == 2.0

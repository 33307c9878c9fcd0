"""Decisions and accuracies: the scorer table of the reference, and properties of every result."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from avgzsl_bench.calibration import grid_bias
from avgzsl_bench.contracts import Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.metrics import Decisions, at_bias, count_clips, decide, per_class, unshared, unshared_clips, zero_shot


def sine(rows: int, columns: int, step: float, start: float) -> torch.Tensor:
    return torch.sin(step * torch.arange(rows * columns, dtype=torch.float64) + start).reshape(rows, columns).float()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("audio", (0.527778, 0.775, 0.627932, 0.9, 0.8)),
        ("video", (0.638889, 0.875, 0.738532, 1.0, 0.4)),
        ("both", (0.527778, 0.9, 0.665370, 0.9, 1.2)),
        ("both at the mean bias", (0.611111, 0.55, 0.578947, 0.9, 0.8)),
    ],
)
def test_equals_the_scorer_table(mode, expected):
    ids, seen, unseen = [0, 1, 2, 3, 5], [0, 2, 3], [1, 5]
    label = torch.tensor([0] * 4 + [1] * 5 + [2] * 3 + [3] * 4 + [5] * 4)
    text = sine(5, 4, 0.9, 0.5)
    own = text[torch.searchsorted(torch.tensor(ids), label)]
    video = 0.5 * own + 0.6 * sine(20, 4, 2.3, 0.2) + 0.5 * text[0]
    audio = 0.5 * own + 0.5 * sine(20, 4, 1.1, 0.2) + 0.5 * text[0]
    by_mode = {"audio": torch.cdist(audio, text), "video": torch.cdist(video, text)}
    distances = by_mode.get(mode, by_mode["audio"] + by_mode["video"])
    decisions = decide(-distances, label, ids, torch.tensor([True, False, True, True, False]), "reference")
    grid, mask = Method.reference_biases, torch.tensor([1, 0, 1, 1, 0]).bool()
    biases = [grid_bias(decide(-d, label, ids, mask, "reference"), seen, unseen, grid)[0] for d in
              (*by_mode.values(), distances)]  # fmt: skip
    bias = sum(biases) / 3 if mode == "both at the mean bias" else biases[-1]
    result = at_bias(decisions, bias, seen, unseen, "reference")
    assert (*result, zero_shot(decisions, unseen), bias) == pytest.approx(expected, abs=1e-6)


# Properties, over small problems whose scores tie often


class Problem:
    """Scores of clips of every class, seen and unseen; `levels` few: many ties."""

    def __init__(self, seed: int, levels: int) -> None:
        rng = np.random.default_rng(seed)
        self.ids = np.sort(rng.choice(40, rng.integers(2, 9), replace=False))
        mask = rng.permutation(np.arange(len(self.ids)) < rng.integers(1, len(self.ids)))
        self.seen, self.unseen = self.ids[mask], self.ids[~mask]
        self.label = rng.permutation(np.concatenate([self.ids, rng.choice(self.ids, 30)]))
        self.scores = (rng.integers(0, levels, (len(self.label), len(self.ids))) / 4).astype(np.float32)

    def decide(self, rules: str) -> Decisions:
        mask = torch.from_numpy(np.isin(self.ids, self.seen))
        return decide(torch.from_numpy(self.scores), torch.from_numpy(self.label), self.ids.tolist(), mask, rules)

    def by_hand(self, bias: float, rules: str) -> tuple[float, float]:
        """S and U from the full matrix, clip by clip."""
        right: dict[int, list[bool]] = {i: [] for i in self.ids}
        for label, row in zip(self.label, self.scores.astype(np.float64), strict=True):
            calibrated = row - bias * np.isin(self.ids, self.seen)
            best = self.ids[calibrated == calibrated.max()]
            right[label].append(list(best) == [label] if rules == "corrected" else best[0] == label)
        means = {i: np.mean(hits) for i, hits in right.items()}
        return float(np.mean([means[i] for i in self.seen])), float(np.mean([means[i] for i in self.unseen]))


problems = st.builds(Problem, st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 8, 4000]))
biases = st.integers(-12, 12).map(lambda steps: steps / 8)  # scores are quarters, so half of these tie across the groups
rules = st.sampled_from(["corrected", "reference"])


@settings(max_examples=150, deadline=None)
@given(problems, biases, rules)
def test_accuracies_are_those_of_the_full_matrix(problem, bias, rules):
    result = at_bias(problem.decide(rules), bias, problem.seen, problem.unseen, rules)
    assert (result.seen, result.unseen) == pytest.approx(problem.by_hand(bias, rules), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(problems, biases, rules)
def test_unseen_never_exceeds_zero_shot_and_hm_lies_between(problem, bias, rules):
    decisions = problem.decide(rules)
    seen, unseen, mean = at_bias(decisions, bias, problem.seen, problem.unseen, rules)
    assert unseen <= zero_shot(decisions, problem.unseen)
    assert min(seen, unseen) - 1e-15 <= mean <= max(seen, unseen) + 1e-15
    assert mean <= 2 * min(seen, unseen) + 1e-15


@settings(max_examples=60, deadline=None)
@given(st.builds(Problem, st.integers(0, 2**32 - 1), st.just(2**22)), biases, rules, st.integers(0, 99))
def test_order_of_classes_and_clips_is_irrelevant_without_ties(problem, bias, rules, seed):
    before = problem.decide(rules)
    expected = (*at_bias(before, bias, problem.seen, problem.unseen, rules), zero_shot(before, problem.unseen))
    rng = np.random.default_rng(seed)
    new_id = rng.permutation(40)  # a renaming of the classes, which reorders the columns
    order, clips = np.argsort(new_id[problem.ids]), rng.permutation(len(problem.label))
    problem.scores, problem.label = problem.scores[clips][:, order], new_id[problem.label[clips]]
    problem.ids, problem.seen, problem.unseen = new_id[problem.ids][order], new_id[problem.seen], new_id[problem.unseen]
    after = problem.decide(rules)
    assert (*at_bias(after, bias, problem.seen, problem.unseen, rules), zero_shot(after, problem.unseen)) == pytest.approx(
        expected, abs=1e-12
    )


def constant(rules: str) -> Decisions:
    label = torch.arange(5).repeat(3)
    return decide(torch.zeros(15, 5), label, list(range(5)), torch.tensor([1, 1, 1, 0, 0]).bool(), rules)


@pytest.mark.parametrize("bias", [-1.0, 0.0, 1.0])
def test_a_constant_scorer_gets_nothing_under_corrected_rules(bias):
    assert at_bias(constant("corrected"), bias, [0, 1, 2], [3, 4], "corrected") == (0, 0, 0)
    assert zero_shot(constant("corrected"), [3, 4]) == 0


def test_a_constant_scorer_gets_the_lowest_class_under_reference_rules():
    assert at_bias(constant("reference"), 0.0, [0, 1, 2], [3, 4], "reference")[:2] == pytest.approx((1 / 3, 0))
    assert at_bias(constant("reference"), 1.0, [0, 1, 2], [3, 4], "reference")[:2] == pytest.approx((0, 1 / 2))


def test_counts_by_class():
    scores = torch.tensor([[3.0, 1, 2], [1, 3, 2], [1, 2, 3], [2, 1, 3], [1, 3, 2.5]])
    decisions = decide(scores, torch.tensor([4, 7, 9, 9, 9]), [4, 7, 9], torch.tensor([True, True, False]), "corrected")
    counts = per_class(decisions, 0.0, [7, 4], [9], "corrected")
    assert [column.tolist() for column in counts] == [[4, 7, 9], [1, 1, 3], [1, 1, 2], [0, 0, 3]]
    assert per_class(decisions, 0.75, [7, 4], [9], "corrected").correct.tolist() == [1, 1, 3]
    assert per_class(decisions, 1.0, [7, 4], [9], "corrected").correct.tolist() == [0, 0, 3]  # ties at exactly the bias
    assert per_class(decisions, 1.0, [7, 4], [9], "reference").correct.tolist() == [1, 1, 3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_numbers_are_refused(bad):
    scores = torch.rand(6, 4)
    scores[1, 0] = scores[4, 3] = bad
    with pytest.raises(AvgzslError, match="for 2 of 6 clips"):
        decide(scores, torch.zeros(6), [0, 1, 2, 3], torch.tensor([1, 1, 0, 0]).bool(), "corrected")


def test_decisions_take_fourteen_bytes_a_clip():
    decisions = Problem(0, 9).decide("corrected")
    assert sum(part.nbytes for part in decisions.columns().values()) == 14 * len(decisions.label)
    stored = load(save(decisions.columns()))
    assert all(np.array_equal(part, stored[name]) for name, part in decisions.columns().items())


# source videos


def of_videos(shared: list[bool] | None) -> Decisions:
    """Six clips of the seen classes 0, 1 and 2 and two of the unseen 3; the first of each pair is right at bias 0."""
    label = np.repeat([0, 1, 2, 3], 2).astype(np.int16)
    high, low = np.tile(np.float32([1, 0]), 4), np.tile(np.float32([0, 1]), 4)
    seen, unseen = np.minimum(label, 2), np.full(8, 3, np.int16)
    is_seen = label < 3
    found = Decisions(label, seen, np.where(is_seen, high, low), unseen, np.where(is_seen, low, high))
    return found if shared is None else found._replace(video=np.arange(8, dtype=np.int32), shared=np.array(shared))


@pytest.mark.parametrize(
    ("shared", "expected", "clips"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 0], (0.5, 6, 3), [2, 2, 2]),
        ([0, 1, 1, 0, 0, 0, 0, 0], (0.5, 4, 3), [1, 1, 2]),  # (1 + 0 + 1/2) / 3
        ([0, 1, 1, 1, 0, 0, 1, 1], (0.75, 3, 2), [1, 0, 2]),  # class 1 is left out; unseen clips count nowhere
        ([1, 0, 0, 1, 1, 1, 0, 0], (0.5, 2, 2), [1, 1, 0]),
        ([1, 1, 1, 1, 1, 1, 0, 0], (None, 0, 0), [0, 0, 0]),
    ],
)
def test_seen_accuracy_without_clips_of_trained_videos(shared, expected, clips):
    decisions = of_videos([bool(flag) for flag in shared])
    assert unshared(decisions, 0.0, [0, 1, 2], "corrected") == expected
    assert unshared_clips(decisions, [0, 1, 2]).tolist() == clips


def test_it_is_taken_at_the_bias():
    decisions = of_videos([False] * 8)
    assert unshared(decisions, -2.0, [0, 1, 2], "corrected").seen == 1.0
    assert unshared(decisions, 2.0, [0, 1, 2], "corrected").seen == 0.0
    assert unshared(decisions, 1.0, [0, 1, 2], "corrected").seen == 0.0, "a tie at the bias is wrong"
    assert unshared(decisions, 0.0, [0, 1, 2], "corrected").seen == at_bias(decisions, 0.0, [0, 1, 2], [3], "corrected").seen


def test_nothing_is_said_where_source_videos_are_not_known():
    assert unshared(of_videos(None), 0.0, [0, 1, 2], "corrected") is None
    assert unshared_clips(of_videos(None), [0, 1, 2]) is None


def test_ids_may_come_in_any_order():
    assert count_clips(np.array([3, 1, 3]), [3, 1]).tolist() == [2, 1]

"""Negative controls: zero-shot learning must fall to chance when the unseen classes' texts are dealt out wrongly."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from avgzsl_bench import batches
from avgzsl_bench.contracts import Clips
from avgzsl_bench.testing.kit import Skip
from avgzsl_bench.testing.subject import Subject

SEEDS = (0, 1, 2)
PERMUTATIONS = 20
ERRORS_ABOVE_CHANCE = 3
ROUNDING = 1e-6  # of accuracies: equal shares of a tie add up to chance only nearly


def falls_to_chance_when_texts_are_permuted(subject: Subject) -> None:
    """Mean ZSL over 20 permutations of the unseen classes' texts lies in its 95 % interval around chance, over three seeds.

    The permutations are cyclic shifts of a random order, so that every class gets every text equally often: a method that
    judges a class by its text alone is then right exactly by chance, whatever texts it prefers, and only knowledge that
    does not come from the text (a row's place, a label) can move the mean.
    """
    orders = _permutations(subject.unseen)
    accuracy = np.mean(
        [_zero_shot(subject, seed, order, subject.fewer_test_clips) for seed in _seeds(subject) for order in orders], axis=0
    )
    chance = 1 / len(accuracy)
    half = float(stats.t.ppf(0.975, len(accuracy) - 1)) * _standard_error(accuracy) + ROUNDING
    assert abs(accuracy.mean() - chance) <= half, (
        f"with permuted texts ZSL is {accuracy.mean():.1%}, outside {chance:.1%} ± {half:.1%}: it knows classes by other means"
    )


def beats_chance_when_texts_are_right(subject: Subject) -> None:
    """ZSL lies at least three standard errors (over classes, of the mean over three seeds) above chance."""
    if subject.kind.floor and _ignores_clips(subject):
        raise Skip("a floor whose scores do not depend on the clips: chance is what it is for")
    accuracy = np.mean([_zero_shot(subject, seed, subject.unseen, subject.test_clips) for seed in _seeds(subject)], axis=0)
    needed = 1 / len(accuracy) + ERRORS_ABOVE_CHANCE * _standard_error(accuracy) + ROUNDING
    assert accuracy.mean() >= needed, f"ZSL on demo is {accuracy.mean():.1%}; three standard errors above chance are {needed:.1%}"


def _seeds(subject: Subject) -> tuple[int, ...]:
    return SEEDS if subject.kind.seeded else SEEDS[:1]


def _permutations(ids: list[int]) -> list[list[int]]:
    """Blocks of all cyclic shifts of a random order: entry i is the class whose text class `ids[i]` gets."""
    count = len(ids)
    assert PERMUTATIONS % count == 0, f"{PERMUTATIONS} permutations are not whole blocks of {count} shifts"
    result = []
    for block in range(PERMUTATIONS // count):
        order = np.random.default_rng(block).permutation(ids)
        for shift in range(count):
            dealt = dict(zip(order.tolist(), np.roll(order, shift).tolist(), strict=True))
            result.append([dealt[i] for i in ids])
    return result


def _standard_error(accuracy: NDArray[np.float64]) -> float:
    return float(accuracy.std(ddof=1) / np.sqrt(len(accuracy)))


def _zero_shot(subject: Subject, seed: int, texts: list[int], clips: Clips) -> NDArray[np.float64]:
    """Accuracy of each unseen class among the unseen classes (classes,); classes that tie share a clip."""
    method, _ = subject.trained(seed)
    classes = subject.candidates(texts)
    scores = subject.exam(method, clips, classes, seed)[:, ~classes.seen]  # (clips, classes)
    label = batches.rows_of(clips.label, subject.unseen)
    best = scores == scores.max(dim=1, keepdim=True).values
    right = (best / best.sum(dim=1, keepdim=True))[torch.arange(len(label)), torch.from_numpy(label)]
    return np.bincount(label, right.double().numpy()) / np.bincount(label)


def _ignores_clips(subject: Subject) -> bool:
    method, _ = subject.trained()
    rows = subject.prepare(method, subject.candidates())
    clips = subject.clips
    blank = clips._replace(audio=torch.zeros_like(clips.audio), video=torch.zeros_like(clips.video))
    return torch.equal(subject.scores(method, rows, clips), subject.scores(method, rows, blank))

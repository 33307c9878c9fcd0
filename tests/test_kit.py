"""The kit finds what it looks for: each fault below is caught by the checks named beside it, and by no other."""

from functools import partial
from typing import get_args

import numpy as np
import pytest
from faults import (
    Adversarial,
    Climbs,
    Fits,
    FitsTwice,
    Good,
    HearsOnly,
    HidesState,
    IgnoresClips,
    KeepsTheGraph,
    LearnsNothing,
    LooksAtPadding,
    LooksAtPlaces,
    LooksAtTimeOfPadding,
    LosesItsWeights,
    MixesCandidates,
    MixesClips,
    MixesRows,
    MixesSequences,
    Packed,
    PerClipLoss,
    ReadsTheDevice,
    Remembers,
    SaysSeeded,
    SaysUnseeded,
    SilentSetting,
    StrangeNeeds,
    StrangeParameters,
    StrangeSource,
    StrangeTurn,
    TakesAnySetting,
    TakesAnyWeights,
    Temporal,
    Undefined,
    UnkeyedDropout,
    UnkeyedNoise,
    WantsNegativesInTime,
    WritesTheBatch,
    WritesTheText,
    WrongRows,
    outcomes_of,
)

from avgzsl_bench import plugins
from avgzsl_bench.contracts import Loss
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.layers import Noise
from avgzsl_bench.testing import checks_of
from avgzsl_bench.testing.subject import subjects


@pytest.fixture
def outcomes(monkeypatch):
    return partial(outcomes_of, monkeypatch=monkeypatch)


def test_a_sound_method_passes_everything(outcomes):
    found = outcomes("methods", Good)
    assert not found["fail"]
    assert len(found["pass"]) == 16


STACK, SEED, ROUND = "stacked copies equal each alone", "follows its seed", "keeps its scores in the state"
LOSSES, TURNS, DOWN = "has finite scalar losses", "names its turns", "lowers its losses in training"
SHAPE, PERMUTE, ALONE, ONE = (
    "gives finite scores without gradient",
    "permutes columns with the rows",
    "scores each column alone",
    "scores one clip",
)
INPUTS, DEFAULTS, UNKNOWN = "leaves its inputs alone", "is built from defaults", "refuses an unknown setting"
PADDING, PACKED, MODALITIES, RELEASED = (
    "ignores padding",
    "scores packed clips alike",
    "scores each modality like both",
    "refuses weights of another method",
)
CHANCE, ABOVE = "falls to chance when texts are permuted", "beats chance when texts are right"


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (UnkeyedDropout, {STACK, SEED}),
        (UnkeyedNoise, {STACK, SEED}),
        (ReadsTheDevice, {STACK}),
        (MixesCandidates, {ALONE}),
        (LooksAtPlaces, {PERMUTE, ALONE}),
        (MixesClips, {ONE}),
        (KeepsTheGraph, {SHAPE}),
        (SaysUnseeded, {SEED}),
        (HidesState, {ROUND}),
        (WritesTheBatch, {INPUTS, STACK}),
        (TakesAnySetting, {UNKNOWN}),
        (SilentSetting, {DEFAULTS}),
        (StrangeNeeds, {DEFAULTS}),
        (StrangeParameters, {TURNS}),
        (Remembers, {CHANCE}),
        (LearnsNothing, {ABOVE}),
        (IgnoresClips, {ABOVE}),
        (StrangeSource, {DEFAULTS}),
        (TakesAnyWeights, {RELEASED}),
        (LosesItsWeights, {RELEASED}),
        (HearsOnly, {MODALITIES}),
        (FitsTwice, {SHAPE}),
        (LooksAtPadding, {PADDING}),
        (LooksAtTimeOfPadding, {PADDING}),
        (MixesSequences, {ONE}),
        (MixesRows, {PACKED}),
        (WantsNegativesInTime, {DEFAULTS}),
    ],
)
def test_a_fault_is_caught_by_its_check_alone(outcomes, kind, caught):
    found = outcomes("methods", kind)
    assert set(found["fail"]) == caught, found["fail"]


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (PerClipLoss, {LOSSES}),
        (Undefined, {LOSSES, DOWN}),
        (Climbs, {DOWN, ABOVE}),
        (WrongRows, {SHAPE}),
        (SaysSeeded, {SEED}),
        (StrangeTurn, {TURNS}),
        (WritesTheText, {INPUTS}),
    ],
)
def test_a_fault_that_breaks_much_is_caught(outcomes, kind, caught):
    found = outcomes("methods", kind)
    assert caught <= set(found["fail"]), found["fail"]


def test_unkeyed_randomness_is_told_what_to_use(outcomes):
    assert "draw only through layers.Dropout and layers.Noise" in outcomes("methods", UnkeyedDropout)["fail"][STACK]


def test_a_floor_that_ignores_clips_is_excused_from_beating_chance(outcomes):
    class Floor(IgnoresClips):
        floor = True

    found = outcomes("methods", Floor)
    assert not found["fail"]
    assert CHANCE in found["pass"]
    assert ABOVE not in found["pass"]


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [(Fits, {PADDING, PACKED}), (Adversarial, {PADDING, PACKED, DOWN}), (Temporal, {PACKED}), (Packed, set())],
    ids=["fits", "adversarial", "temporal", "packed"],
)
def test_a_sound_method_of_another_kind_passes_and_says_what_it_leaves_out(outcomes, kind, left_out):
    found = outcomes("methods", kind)
    assert not found["fail"]
    assert set(found["skipped"]) == left_out | {MODALITIES, RELEASED}
    assert all(found["skipped"].values())


def test_a_member_of_another_kind_fails_and_stops_there(outcomes):
    found = outcomes("methods", Loss)
    assert list(found["fail"].values()) == [f"AvgzslError: method 'mine' of test 1.0 is {Loss!r}, not a Method"]
    assert not found["pass"]


def test_noise_in_evaluation_is_no_fault(outcomes):
    class Noisy(Good):
        def __init__(self, settings, shapes):
            super().__init__(settings, shapes)
            self.noise = Noise()

        def prepare(self, training, classes):
            texts = super().prepare(training, classes)
            return texts + 1e-3 * self.noise(texts)

    assert not outcomes("methods", Noisy)["fail"]


# names


def test_an_unknown_name_gets_near_matches():
    with pytest.raises(AvgzslError, match=r"unknown plugin or member 'hashd'; did you mean hashed\?"):
        checks_of("hashd")
    with pytest.raises(AvgzslError, match=r"unknown method 'hashed'; .*`avgzsl list methods`"):
        checks_of("hashed", "methods")
    with pytest.raises(AvgzslError, match="--kind 'method'; choose methods, "):
        checks_of("hashed", "method")


def test_a_name_of_two_kinds_is_checked_in_both():
    assert {check.kind for check in checks_of("devise")} == {"methods", "losses"}
    assert {check.kind for check in checks_of("devise", "losses")} == {"losses"}


def test_permutations_give_every_class_every_text_equally_often():
    from avgzsl_bench.testing.controls import PERMUTATIONS, _permutations

    for count in (10, 20):
        orders = np.array(_permutations(list(range(100, 100 + count))))
        assert orders.shape == (PERMUTATIONS, count)
        for column in orders.T:
            assert np.unique(column, return_counts=True)[1].tolist() == [PERMUTATIONS // count] * count


def test_forms_are_subjects_of_their_own():
    field = plugins.load("methods", "kda").Settings.model_fields["form"]
    assert list(subjects("kda")) == ["kda", "kda (reference)"]
    assert set(get_args(field.annotation)) == {"paper", "reference"}

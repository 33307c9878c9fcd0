"""torch.compile: where it is used, that it is decided once, and that it changes no result."""

import shutil

import pytest
import torch

from avgzsl_bench import compiling, config, records, runner, training
from avgzsl_bench.contracts import ClassText, Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.devise import MEMBER as DEVISE

PLAIN = runner.precisions.PRECISIONS["float32"]
QUICK = {"epochs": 2, "batches_per_epoch": 3, "batch_size": 16}


@pytest.fixture
def trainer():
    def build(**settings):
        method = DEVISE(DEVISE.Settings(**settings), Shapes(3, 3, 2, 4))
        return training.Trainer(method, None, ClassText(torch.zeros(4, 1, 2)), 0, 1)

    return build


@pytest.mark.parametrize(
    ("plain", "compiled", "settings", "deterministic", "pays"),
    [
        (1.0, 0.1, {"epochs": 2, "batches_per_epoch": 3}, False, None),  # a demo run
        (0.05, 0.001, {}, False, False),  # 25,000 steps of 50 ms are 21 minutes
        (0.1, 0.08, {}, False, True),
        (0.1, 0.095, {}, False, False),
        (0.1, RuntimeError("no compiler\nat all"), {}, False, False),
        (0.1, 0.01, {}, True, None),
    ],
)
def test_it_is_used_where_its_start_pays(monkeypatch, trainer, plain, compiled, settings, deterministic, pays):
    tried = []

    def seconds(own, compiled):
        tried.append(compiled)
        found = given[compiled]
        if isinstance(found, Exception):
            raise found
        return found

    given = {False: plain, True: compiled}
    monkeypatch.setattr(compiling, "_seconds", seconds)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    assert compiling.pays(trainer(**settings)) == bool(pays)
    assert bool(tried) == (pays is not None), "what cannot pay is not even tried"


def test_a_trial_touches_nothing():
    (job,) = config.resolve("devise", "demo", settings={**QUICK, "batches_per_epoch": 5})
    material = runner.identity.Material(job)
    protocol = runner.GZSL(material.splits, material.vectors, material.shared, "corrected", PLAIN, torch.device("cpu"))
    stage = protocol.examiner.stage(1)
    method = protocol.examiner.build(DEVISE, DEVISE.Settings(**job.settings), stage, 0)
    own = training.Trainer(method, stage.pool, stage.text, 0, 1)
    before = {name: part.clone() for name, part in method.state_dict().items()}
    assert compiling._seconds(own, compiled=False) > 0
    assert (own.epochs, own.compiled) == (0, None)
    assert all(part.equal(before[name]) for name, part in method.state_dict().items())


def result_of(out, compile_):
    (state,) = runner.run_job(config.resolve("devise", "demo", settings=QUICK, precision="float64"), options(out, compile_))
    assert not state.error
    return records.read(state.record)


def options(out, compile_):
    return runner.Options(out, "cpu", compile=compile_)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_run_ends_as_a_plain_one(tmp_path):
    plain, compiled = (result_of(tmp_path / how, how) for how in ("off", "on"))
    assert (plain["cost"]["compiled"], compiled["cost"]["compiled"]) == (False, True)
    for name in ("harmonic_mean", "zero_shot", "ausuc"):
        assert plain["metrics"][name] == pytest.approx(compiled["metrics"][name], abs=1e-9)


def test_the_decision_is_kept_when_a_run_is_taken_up_again(tmp_path, monkeypatch):
    """It is that of the checkpoint, whatever is asked for now; another one would change numbers in the middle."""
    asked, epoch = [], training.Loop.epoch

    def stops(loop):
        if loop.trainers[0].epochs == 1:
            raise KeyboardInterrupt
        return epoch(loop)

    monkeypatch.setattr(training, "_compiled", lambda losses: asked.append(1) or losses)
    job = config.resolve("devise", "demo", settings=QUICK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Loop, "epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            list(runner.run_job(job, options(tmp_path, "on")))
    assert len(asked) == 1
    (state,) = runner.run_job(job, options(tmp_path, "off"))
    assert len(asked) == 2, "stage 1 goes on compiled; stage 2, which begins now, does as it is told"
    assert state.record


def test_another_word_is_refused(tmp_path):
    with pytest.raises(AvgzslError, match="--compile 'perhaps'; choose auto, on or off"):
        options(tmp_path, "perhaps")

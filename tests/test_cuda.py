"""On a GPU: recorded steps, stacked runs, kernels and precisions do what they do elsewhere."""

import pytest
import torch

from avgzsl_bench import batches, config, records, runner, training
from avgzsl_bench.lockstep import Lockstep
from avgzsl_bench.randomness import in_torch
from avgzsl_bench.testing.subject import Subject

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
CUDA = torch.device("cuda")
QUICK = {"epochs": 2, "batches_per_epoch": 8, "batch_size": 32}
METHODS = ["avca", "kda", "cjme", "avgzslnet", "ale", "f_vaegan_d2"]


def trainers(name, seeds):
    """Trainers of a method on demo's clips, on the GPU in float64."""
    subject = Subject(name)
    shapes, settings = subject.build().shapes, subject.kind.Settings(**{**subject.settings.model_dump(), **QUICK})
    clips = subject.splits.load("train", "validation_seen", "validation_unseen")
    pool = batches.pool(clips, subject.seen, CUDA, subject.splits.features.seconds, torch.float64)
    text = subject.classes._replace(vectors=subject.classes.vectors.to(CUDA, torch.float64))
    return [
        training.Trainer(training.build(subject.kind, settings, shapes, CUDA, seed).double(), pool, text, seed, 1)
        for seed in range(seeds)
    ]


def after(loop, epochs=2):
    """Losses of the last epoch, and the weights of every trainer."""
    for _ in range(epochs):
        losses = loop.epoch()
    return losses, [{name: part.clone() for name, part in own.method.state_dict().items()} for own in loop.trainers]


def assert_same(one, other):
    for own, too in zip(one[0], other[0], strict=True):
        assert own == pytest.approx(too, rel=1e-6)
    for own, too in zip(one[1], other[1], strict=True):
        for name, part in own.items():
            torch.testing.assert_close(too[name], part, rtol=1e-6, atol=1e-5, msg=name)


@pytest.mark.parametrize("name", METHODS)
def test_recorded_steps_are_the_same_steps(name):
    recorded = training.Loop(trainers(name, 1))
    assert_same(after(training.Loop(trainers(name, 1), record=False)), after(recorded))
    assert recorded.round.graph is not None, "it was not recorded"


@pytest.mark.parametrize("name", METHODS)
def test_stacked_runs_are_the_same_runs(name):
    together = after(training.Loop(trainers(name, 3)))
    alone = [after(training.Loop((own,))) for own in trainers(name, 3)]
    assert_same(([one[0][0] for one in alone], [one[1][0] for one in alone]), together)


def test_a_drop_of_the_rate_reaches_a_recorded_step():
    (own,) = trainers("ale", 1)
    loop = training.Loop((own,))
    loop.epoch()
    for group in own.optimisers["all"].param_groups:
        group["lr"].zero_()
    before = {name: part.clone() for name, part in own.method.state_dict().items()}
    loop.epoch()
    assert all(part.equal(before[name]) for name, part in own.method.state_dict().items())


@pytest.mark.parametrize("rate", [None, 0.3])
def test_the_kernel_gives_what_tensor_arithmetic_gives(rate):
    from avgzsl_bench.randomness._triton import by_triton

    keys = torch.tensor([3, -4], dtype=torch.int32, device=CUDA)
    names = torch.arange(512, dtype=torch.int32, device=CUDA).view(2, 256) * -1000003
    for rows in (None, names[0], names):
        assert by_triton(keys, rows, 256, 512, rate).equal(in_torch(keys, rows, 256, 512, rate))


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16", "float64"])
def test_a_run_of_every_precision_ends(precision, tmp_path):
    job = config.resolve("avca", "demo", seeds=2, settings=QUICK, precision=precision)
    states = list(runner.run_job(job, runner.Options(tmp_path, "cuda")))
    assert not [state.error for state in states if state.error]
    found = [records.read(state.record) for state in states]
    assert {record["cost"]["runs_at_once"] for record in found} == {2}
    assert {record["environment"]["device"]["type"] for record in found} == {"cuda"}


def test_deterministic_runs_are_identical(tmp_path):
    job = config.resolve("kda", "demo", settings=QUICK)
    made = [next(iter(runner.run_job(job, runner.Options(tmp_path / out, "cuda", deterministic=True)))) for out in "ab"]
    assert len({records.read(state.record)["decisions"]["sha256"] for state in made}) == 1


def test_a_stack_that_does_not_fit_is_cut(caplog):
    """The memory of this process is limited to a little more than one run takes."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    training.Loop(trainers("avca", 1)).epoch()
    need = torch.cuda.max_memory_allocated()
    whole = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 3 * need / whole))
    try:
        steps = Lockstep(16, forced=True, compile_="off")
        outcomes = steps._outcomes(trainers("avca", 16))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert all(isinstance(outcome.value, dict) for outcome in outcomes)
    assert "do not fit the memory" in caplog.text

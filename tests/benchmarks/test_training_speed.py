"""What training costs at UCF's published sizes: the loop beside bare steps and a plain module, stacked runs beside one."""

import time
from statistics import median

import pytest
import torch
from figures import ratio

from avgzsl_bench import benchmarking, plugins
from avgzsl_bench.precision import PRECISIONS
from avgzsl_bench.recording import wait_for

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROUNDS, SEEDS = 5, 5
TRAINED = [
    name for name in plugins.names("methods") if plugins.load("methods", name).turns and not plugins.load("methods", name).floor
]
REFERENCE = {"avca": 164, "ale": 45, "tcaf": 988}  # seconds an epoch of the reference code, two cores (tcaf: one)
ITS_STEP = 173.0  # ms of the plain eager AVCA step on the machine that those were measured on, which tells how fast it was


def waited() -> float:
    """The time, once the device has done what it was given."""
    wait_for(DEVICE)
    return time.perf_counter()


def epoch(trainer) -> float:
    """Seconds of an epoch."""
    start = waited()
    trainer.epoch()
    return waited() - start


def bare(trainer) -> float:
    """Seconds of the same steps on batches that are gathered already."""
    batches = list(trainer.sequences())
    start = waited()
    trainer.begin()
    for batch in batches:
        for turn in trainer.method.turns:
            terms = trainer.method(batch, trainer.classes, turn)
            if terms:
                trainer.method.zero_grad()
                torch.stack(list(terms.values())).sum().backward()
                trainer.step(turn)
    return waited() - start


def measured(name, compiled=False, rounds=ROUNDS):
    counts = {"runs": SEEDS, "rounds": rounds}
    return benchmarking.measure(name, "ucf", device=DEVICE, precision=PRECISIONS["float32"], compiled=compiled, **counts)


def paired(one, other):
    """Median and range of the ratio of two lanes, round by round."""
    return ratio(one.milliseconds, other.milliseconds)


@pytest.mark.parametrize("name", TRAINED)
def test_the_loop_beside_its_bare_steps(name, benchmark, capsys):
    found = measured(name)
    lanes = {lane.name: lane for lane in found.lanes}
    plain, own, loop, stacked = (lanes[way] for way in ("plain eager", "bare steps", "loop", "stacked"))
    benchmark.extra_info.update(found.as_dict())
    benchmark.pedantic(lambda: None, rounds=1)
    seconds = (found.batches_per_epoch * median(loop.milliseconds) + found.scoring_milliseconds) / 1e3
    with capsys.disabled():
        print(f"\n{name} on {DEVICE}: loop {median(loop.milliseconds):.1f} ms a step, epoch with scoring {seconds:.1f} s")
        print(f"  loop / bare steps {paired(loop, own)}, bare steps / plain eager {paired(own, plain)}")
        print(f"  {SEEDS} stacked / one {paired(stacked, loop)}")
        if name in REFERENCE:
            print(f"  the reference: {REFERENCE[name]} s an epoch, where a plain AVCA step takes {ITS_STEP:.0f} ms")


def test_avca_compiled(benchmark, capsys):
    """The bar is 0.7 of the plain eager step."""
    lanes = {lane.name: lane for lane in measured("avca", compiled=True, rounds=8).lanes}
    benchmark.extra_info["ratios"] = lanes["compiled loop"].ratios
    benchmark.pedantic(lambda: None, rounds=1)
    with capsys.disabled():
        plain = lanes["plain eager"]
        print(f"\nAVCA, plain eager step {median(plain.milliseconds):.0f} ms; reference machine {ITS_STEP:.0f} ms")
        print(f"  loop / plain {paired(lanes['loop'], plain)}, compiled / plain {paired(lanes['compiled loop'], plain)}")

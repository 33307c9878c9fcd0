"""Killed at any moment, the next call ends with the same weights and decisions, byte for byte (on the CPU)."""

import hashlib
import os
import random
import signal
import sys
from collections import Counter

import pytest
import torch

from avgzsl_bench import config, files, plugins, runner, training

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the kills fork this process")

# dropout on, and a plateau patience of 0 drops the learning rate within the few epochs of stage 1
SETTINGS = {
    "avca": {"epochs": 5, "batches_per_epoch": 4, "batch_size": 32, "plateau_patience": 0, "learning_rate": 0.01},
    "kda": {"epochs": 4, "batches_per_epoch": 3, "batch_size": 64, "plateau_patience": 0, "learning_rate": 0.01},
}
KILLS = {"avca": 12, "kda": 8}  # 20 in all


class Clock:
    """Counts moments (each optimiser step, both sides of each file's taking its name) and kills this process at one of them."""

    def __init__(self, target=None):
        self.moments = []
        self.target = target

    def tick(self, what):
        self.moments.append(what)
        if len(self.moments) - 1 == self.target:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self):
        step, write = training.Trainer._step, files.write_whole

        def timed_step(trainer, batch, totals):
            step(trainer, batch, totals)
            self.tick(f"step of stage {trainer.stage}")

        def timed_write(path, data):
            fsync = os.fsync

            def synced(descriptor):
                fsync(descriptor)
                self.tick(f"before {path.name}")

            os.fsync = synced
            try:
                write(path, data)
            finally:
                os.fsync = fsync
            self.tick(f"after {path.name}")

        training.Trainer._step = timed_step
        for module in list(sys.modules.values()):
            if getattr(module, "write_whole", None) is write:
                module.write_whole = timed_write


def in_child(out, method, target=None):
    """Run in a forked child; returns (its wait status, the moments it lived through)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            torch.set_num_threads(1)
            clock = Clock(target)
            clock.install()
            job = config.resolve(method, "demo", settings=SETTINGS[method])
            states = list(runner.run_job(job, runner.Options(out, "cpu")))
            assert all(state.record for state in states), states
            os.write(writer, "\n".join(clock.moments).encode())
            os._exit(0)
        except BaseException as error:
            os.write(2, f"child: {error!r}\n".encode())
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        moments = pipe.read().split("\n")
    return os.waitpid(child, 0)[1], moments


def fingerprints(out):
    """sha256 of weights, decisions and selection of the one run under a folder."""
    (folder,) = (path.parent for path in out.rglob("record.json"))
    names = ("model.safetensors", "decisions.safetensors", "selection.json")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


@pytest.fixture(scope="module", params=list(SETTINGS))
def uninterrupted(request, tmp_path_factory):
    plugins.registry()
    out = tmp_path_factory.mktemp("whole")
    status, moments = in_child(out, request.param)
    assert status == 0
    return request.param, fingerprints(out), moments


def chosen_moments(moments, count):
    """Seeded moments, at least one of each kind that matters."""
    rng = random.Random(20261122)
    kinds = ("step of stage 1", "step of stage 2", "before selection.json", "after selection.json", "after decisions.safetensors")
    kinds += ("after model.safetensors", "before record.json", "after record.json", "before checkpoint.pt")
    sure = [rng.choice([i for i, moment in enumerate(moments) if moment == kind]) for kind in kinds]
    rest = rng.sample([i for i in range(len(moments)) if i not in sure], max(0, count - len(sure)))
    return (sure + rest)[:count]


def test_a_killed_run_ends_as_an_uninterrupted_one(uninterrupted, tmp_path):
    method, whole, moments = uninterrupted
    assert Counter(moments)["step of stage 2"] > 0
    for number, target in enumerate(chosen_moments(moments, KILLS[method])):
        out = tmp_path / str(number)
        status, _ = in_child(out, method, target)
        assert os.WIFSIGNALED(status), f"was to be killed at {moments[target]}"
        assert os.WTERMSIG(status) == signal.SIGKILL
        status, _ = in_child(out, method)
        assert status == 0, f"the next call failed after a kill at {moments[target]}"
        assert fingerprints(out) == whole, f"killed at {moments[target]}"
        left = {path.name for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")}
        assert left == {"record.json", "selection.json", "model.safetensors", "decisions.safetensors"}


def test_the_learning_rate_dropped_on_the_way(tmp_path):
    """Otherwise the kills above would not cross a drop."""
    import json

    for method in SETTINGS:
        record = runner.run(method, "demo", settings=SETTINGS[method], out=tmp_path)[0]
        folder = next(tmp_path.glob(f"{method}-*"))
        assert (
            json.loads((folder / "selection.json").read_text())["learning_rate_drops"]
            == record["selection"]["learning_rate_drops"]
        )
    drops = [
        len(r["selection"]["learning_rate_drops"])
        for r in (runner.run(m, "demo", settings=SETTINGS[m], out=tmp_path)[0] for m in SETTINGS)
    ]
    assert sum(drops) > 0

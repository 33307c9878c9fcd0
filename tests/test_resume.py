"""Killed at any moment, the next call ends with the same weights and decisions, byte for byte (on the CPU)."""

import hashlib
import os
import random
import signal
import sys
from collections import Counter

import pytest
import torch

from avgzsl_bench import config, datasets, features, files, plugins, runner, training
from avgzsl_bench.datasets._codes import text_vector
from avgzsl_bench.protocols import gzsl

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the kills fork this process")

# a plateau patience of 0 drops the learning rate within the few epochs of stage 1
QUICK = {"plateau_patience": 0, "learning_rate": 0.02}
AVCA = {"encoder_hidden": 32, "projector_hidden": 32, "width": 24, "dropout_encoder": 0.2, "batch_size": 32}
TCAF = {"depth": 1, "heads": 2, "head_width": 4, "width": 16, "feed_width": 8, "time_width": 8, "encoder_hidden": 16}
TCAF |= {"decoder_hidden": 16, "dropout_encoder": 0.2, "dropout_transformer": 0.2, "batch_size": 16}
TCAF |= {"training_audio_tokens": 2, "training_video_tokens": 3}  # crops, whose places are drawn
GENERATIVE = {"latent": 4, "generator_hidden": 8, "critic_hidden": 8, "synthetic_per_class": 4, "classifier_epochs": 3}
GENERATIVE |= {"classifier_batch_size": 256, "batch_size": 16, "epochs": 3, "batches_per_epoch": 1, "score_every": 2}
KDA = {"width": 24, "video_hidden": 24, "dropout_projector": 0.3, "batch_size": 48}
CASES = {
    "avca": {"settings": {**QUICK, **AVCA, "epochs": 4, "batches_per_epoch": 3}},
    "kda": {"settings": {**QUICK, **KDA, "epochs": 6, "batches_per_epoch": 2}},
    "tcaf, reference form": {"settings": {**QUICK, **TCAF, "form": "reference", "epochs": 4, "batches_per_epoch": 2}},
    "f_vaegan_d2": {"settings": GENERATIVE},
    "f_vaegan_d2, reference form and rules": {"settings": {**GENERATIVE, "form": "reference"}, "rules": "reference"},
    "devise, searched": {"settings": {**QUICK, "epochs": 3, "batches_per_epoch": 3}, "search": {"batch_size": [16, 32]}},
    "devise, reference rules": {"settings": {**QUICK, "epochs": 4, "batches_per_epoch": 3}, "rules": "reference"},
    "devise, selected on test": {"settings": {**QUICK, "epochs": 3}, "rules": "reference", "selection": "test"},
}
KILLS = {"avca": 10, "kda": 10}  # the 20 seeded moments
KILLS_MORE = 4  # of each other case


def job_of(case):
    """The job of a case; word2vec (synthetic vectors here) is what reference rules allow."""
    return config.resolve(case.split(",")[0], "demo", "word2vec", **CASES[case])


WRITTEN = ("checkpoint.pt", "selection.json", "decisions.safetensors", "model.safetensors", "record.json")


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
        step, schedule, write = training.Trainer.step, training.Trainer.schedule, files.write_whole

        def timed_step(trainer, turn):
            step(trainer, turn)
            self.tick(f"step of stage {trainer.stage}")

        def timed_schedule(trainer, harmonic_mean):
            dropped = schedule(trainer, harmonic_mean)
            if dropped:
                self.tick("drop")
            return dropped

        def timed_write(path, data):
            if path.name not in WRITTEN:
                return write(path, data)
            fsync = os.fsync

            def synced(descriptor):
                fsync(descriptor)
                self.tick(f"before {path.name}")

            os.fsync = synced
            try:
                write(path, data)
            finally:
                os.fsync = fsync
            return self.tick(f"after {path.name}")

        training.Trainer.step = timed_step
        training.Trainer.schedule = timed_schedule
        for module in list(sys.modules.values()):
            if getattr(module, "write_whole", None) is write:
                module.write_whole = timed_write


def in_child(out, case, target=None):
    """Run in a forked child; returns (its wait status, the moments it lived through)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            torch.set_num_threads(1)
            clock = Clock(target)
            clock.install()
            states = list(runner.run_job(job_of(case), runner.Options(out, "cpu")))
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


def learned(out):
    """What the log of the one run under a folder says of every epoch, but for how long it took."""
    (folder,) = (path.parent for path in out.rglob("record.json"))
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in runner.epochs(folder)]


@pytest.fixture(scope="module", autouse=True)
def vectors(tmp_path_factory):
    """One home for all cases, with synthetic word vectors for the demo's class names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVGZSL_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("AVGZSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(gzsl, "SAVING_SHARE", 0)  # every epoch has a checkpoint, and every run the same moments
        names = [info.text_name for info in datasets.get("demo").classes("main")]
        features.store_word_vectors("demo", {name: text_vector(name).astype("float32") for name in names})
        # one run here, so that no child has to import and make everything again; on one thread, which a fork survives
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        list(runner.run_job(job_of("devise, searched"), runner.Options(tmp_path_factory.mktemp("warm"), "cpu")))
        yield os.environ["AVGZSL_DATA"]
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def one_home(vectors, own_folders, monkeypatch):
    monkeypatch.setenv("AVGZSL_DATA", vectors)


@pytest.fixture(scope="module", params=list(CASES))
def uninterrupted(request, vectors, tmp_path_factory):
    plugins.registry()
    out = tmp_path_factory.mktemp("whole")
    status, moments = in_child(out, request.param)
    assert status == 0
    return request.param, fingerprints(out), learned(out), moments


def chosen_moments(moments, count):
    """Seeded moments: one of each kind that matters first, among them a step after the learning rate has dropped."""
    rng = random.Random(20261122)
    drop = moments.index("drop") if "drop" in moments else len(moments)
    after_drop = [i for i, moment in enumerate(moments) if i > drop and moment.startswith("step")]
    kinds = ("after selection.json", "step of stage 2", "after decisions.safetensors", "step of stage 1", "before record.json")
    kinds += ("after model.safetensors", "after record.json", "before selection.json", "before checkpoint.pt")
    sure = [rng.choice(after_drop)] if after_drop else []
    for kind in kinds:
        sure += rng.sample([i for i, moment in enumerate(moments) if moment == kind], 1) if kind in moments else []
    rest = rng.sample([i for i in range(len(moments)) if i not in sure], max(0, count - len(sure)))
    return (sure + rest)[:count]


def test_a_killed_run_ends_as_an_uninterrupted_one(uninterrupted, tmp_path):
    case, whole, logged, moments = uninterrupted
    if case in KILLS:
        assert "drop" in moments, "no learning-rate drop is crossed"
        assert Counter(moments)["step of stage 2"] > 0
    for number, target in enumerate(chosen_moments(moments, KILLS.get(case, KILLS_MORE))):
        out = tmp_path / str(number)
        status, _ = in_child(out, case, target)
        assert os.WIFSIGNALED(status), f"was to be killed at {moments[target]}"
        assert os.WTERMSIG(status) == signal.SIGKILL
        status, _ = in_child(out, case)
        assert status == 0, f"the next call failed after a kill at {moments[target]}"
        assert fingerprints(out) == whole, f"killed at {moments[target]}"
        left = {path.name for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")}
        assert left == {"record.json", "selection.json", "model.safetensors", "decisions.safetensors", "log.jsonl"}
        assert learned(out) == logged, f"killed at {moments[target]}"

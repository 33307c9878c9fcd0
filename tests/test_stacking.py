"""Runs of a job that are trained at once: each ends as it does by itself."""

import gc
import logging
import weakref

import pytest
import torch
from alone import result_of
from safetensors.torch import load_file

from avgzsl_bench import batches, config, plugins, records, runner, scoring, stacking, training
from avgzsl_bench.hookspecs import hookimpl
from avgzsl_bench.lockstep import Lockstep
from avgzsl_bench.methods.devise import MEMBER as DEVISE
from avgzsl_bench.methods.kda import MEMBER as KDA
from avgzsl_bench.protocols import gzsl
from avgzsl_bench.testing.subject import Subject

QUICK = {"epochs": 3, "batches_per_epoch": 4, "batch_size": 16}
GENERATIVE = {"score_every": 2, "synthetic_per_class": 5, "classifier_epochs": 3, "classifier_batch_size": 200}
TRAINED = [name for name in plugins.names("methods") if plugins.load("methods", name).turns]
TOLERANCE = 1e-9  # in float64, of losses and metrics
WEIGHTS = 1e-8  # Adam divides by slopes, and where they are small it enlarges their rounding


def settings_of(name):
    return QUICK | (GENERATIVE if plugins.load("methods", name).fits_stacked else {})


def ends(name, out, stack, seeds=3, precision="float64", **choices):
    """The record, the losses of every epoch, the decisions and the weights of every seed."""
    choices = {"settings": settings_of(name), **choices}
    job = config.resolve(name, "demo", seeds=seeds, precision=precision, **choices)
    states = list(runner.run_job(job, runner.Options(out, "cpu", stack=stack)))
    assert not [state.error for state in states if state.error]
    found = []
    for planned in runner.identity.plan(job, out):
        parts = (load_file(planned.folder / f"{name}.safetensors") for name in ("decisions", "model"))
        losses = [line["losses"] for line in runner.epochs(planned.folder)]
        found.append((records.read(planned.record), losses, *parts))
    return found


def assert_same(alone, together):
    for (one, losses, decided, weights), (other, losses_too, decided_too, weights_too) in zip(alone, together, strict=True):
        for own, own_too in zip(losses, losses_too, strict=True):
            assert own == pytest.approx(own_too, rel=TOLERANCE, abs=TOLERANCE)
        assert one["run_id"] == other["run_id"]
        assert one["selection"]["epoch"] == other["selection"]["epoch"]
        assert one["selection"]["value"] == pytest.approx(other["selection"]["value"], abs=TOLERANCE)
        assert one["metrics"]["harmonic_mean"] == pytest.approx(other["metrics"]["harmonic_mean"], abs=TOLERANCE)
        for name, part in weights.items():
            # a bias before a batch norm cancels: its slope is rounding, which Adam scales up and the running mean follows
            allowed = 1e-6 if name.endswith(("bias", "running_mean")) else WEIGHTS
            torch.testing.assert_close(weights_too[name], part, rtol=WEIGHTS, atol=allowed, msg=name)
        for name, part in decided.items():  # scores are kept in float32
            torch.testing.assert_close(decided_too[name].double(), part.double(), rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", TRAINED)
def test_seeds_end_alike_alone_and_stacked(name, tmp_path):
    alone, together = (ends(name, tmp_path / str(stack), stack) for stack in (1, 3))
    assert_same(alone, together)
    assert [record["cost"]["runs_at_once"] for record, *_ in alone] == [1, 1, 1]
    assert [record["cost"]["runs_at_once"] for record, *_ in together] == [3, 3, 3]


def test_seeds_that_end_at_other_epochs_leave_the_others_alone(tmp_path):
    choices = {"settings": {**QUICK, "epochs": 6, "learning_rate": 0.01, "plateau_patience": 0}}
    alone, together = (ends("avca", tmp_path / str(stack), stack, 5, **choices) for stack in (1, 5))
    assert len({record["selection"]["epoch"] for record, *_ in together}) > 2, "the case shows nothing"
    drops = [record["selection"]["learning_rate_drops"] for record, *_ in together]
    assert any(drops), "the case shows nothing"
    assert not all(drops)
    assert_same(alone, together)


def test_a_resumed_seed_goes_on_beside_fresh_ones(tmp_path):
    """One seed was stopped in stage 1 and starts again in the middle, with the others at their beginning."""
    job = config.resolve("devise", "demo", seeds=2, precision="float64", settings=QUICK)
    epoch, done = training.Loop.epoch, []

    def stops(loop):
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt
        return epoch(loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Loop, "epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            list(runner.run_job(job[:1], runner.Options(tmp_path / "2", "cpu")))
    assert list((tmp_path / "2").rglob("checkpoint.pt"))
    assert not list((tmp_path / "2").rglob("claim.json")), "an interrupted run is free for others"
    assert_same(ends("devise", tmp_path / "1", 1, 2), ends("devise", tmp_path / "2", 2, 2))


def test_settings_of_equal_shape_are_searched_at_once(tmp_path, monkeypatch):
    sizes, loop = [], training.Loop.__init__
    monkeypatch.setattr(
        training.Loop, "__init__", lambda self, trainers, *a: sizes.append(len(trainers)) or loop(self, trainers, *a)
    )
    search = {"alignment_weight": ["0.5", "5"], "learning_rate": ["1e-4", "1e-3"]}
    alone, together = (ends("kda", tmp_path / str(stack), stack, 1, search=search) for stack in (1, 4))
    assert_same(alone, together)
    values = [record["selection"]["search"]["values"] for ((record, *_),) in (alone, together)]
    assert values[0] == pytest.approx(values[1], abs=TOLERANCE)
    assert len(set(values[0])) > 1, "the case shows nothing"
    assert max(sizes) == 4


@pytest.fixture(scope="module")
def subject():
    return Subject("kda")


def method_of(subject, **changed):
    """KDA on demo with other settings."""
    subject.build()
    values = {**subject.settings.model_dump(), **changed}
    return training.build(KDA, KDA.Settings(**values), subject.build().shapes, torch.device("cpu"), 0)


@pytest.mark.parametrize(
    ("changed", "alike"),
    [
        ({}, True),
        ({"alignment_weight": 0.5}, True),
        ({"learning_rate": 0.5, "epochs": 1, "plateau_patience": 0}, True),
        ({"dropout_encoder": 0.25}, False),  # a number that a layer keeps
        ({"width": 8}, False),
        ({"norm_inputs": True}, False),
        ({"alignment_loss": "wasserstein_batch"}, False),
        ({"classification_loss": {"name": "adaptive_margin", "scale": 0.5}}, False),
        ({"batch_size": 32}, False),
    ],
)
def test_what_may_differ_in_a_stack(subject, changed, alike):
    assert stacking.alike(method_of(subject), method_of(subject, **changed)) == alike
    assert not stacking.alike(
        method_of(subject), training.build(DEVISE, DEVISE.Settings(), subject.build().shapes, torch.device("cpu"))
    )


class Branches(DEVISE):
    """Looks at a value, which nothing that is mapped over can."""

    def losses(self, batch, classes, turn):
        terms = super().losses(batch, classes, turn)
        return terms if terms["classification"].item() >= 0 else {}


def test_a_method_that_cannot_be_stacked_is_trained_one_by_one_and_said(tmp_path, caplog):
    with caplog.at_level(logging.INFO), pytest.MonkeyPatch.context() as patch:
        given = {("methods", "devise"): Branches}
        patch.setattr(plugins, "load", lambda kind, name, load=plugins.load: given.get((kind, name)) or load(kind, name))
        found = ends("devise", tmp_path, 3)
    assert [record["cost"]["runs_at_once"] for record, *_ in found] == [1, 1, 1]
    assert "Branches is trained one run at a time: vmap does not run over its losses" in caplog.text


def drifting(drift, size):
    """A method whose losses are `size` times those of devise, and by a share `drift` more where they are mapped over."""

    class Drifts(DEVISE):
        def losses(self, batch, classes, turn):
            terms = super().losses(batch, classes, turn)
            mapped = torch._C._functorch.is_batchedtensor(terms["classification"])
            return {name: term * size * (1 + drift * mapped) for name, term in terms.items()}

    return Drifts


@pytest.mark.parametrize(
    ("drift", "size", "same"), [(0.0, 1.0, True), (1e-11, 1e6, True), (1e-7, 1.0, False), (1e-7, 1e-6, False)]
)
def test_what_is_off_by_more_than_rounding_is_not_stacked(subject, drift, size, same):
    shapes = subject.build().shapes
    kind = drifting(drift, size)
    methods = [training.build(kind, kind.Settings(), shapes, torch.device("cpu"), seed) for seed in (0, 1)]
    said = stacking.check(methods, [subject.drawn(key) for key in (0, 1)], subject.classes)
    assert said == "" if same else said.startswith("the gradient of project.weight after turn 'all' is off by")


@pytest.mark.parametrize(("name", "at_once"), [("devise", 2), ("kda", 1), ("tcaf", 1)])
def test_on_a_cpu_only_small_steps_are_stacked_unasked(name, at_once, tmp_path):
    started = []

    class Watch:
        @hookimpl
        def run_started(self, run):
            started.append(len(list(tmp_path.rglob("claim.json"))))

    with plugins.listening(Watch()):
        found = ends(name, tmp_path, 0, 2)
    assert [record["cost"]["runs_at_once"] for record, *_ in found] == [at_once] * 2
    assert max(started) == at_once, "a run that waits for its turn is free for others"


def test_more_seeds_than_the_memory_holds_go_in_parts(tmp_path, caplog, monkeypatch):
    singly = ends("devise", tmp_path / "1", 1, 5)
    step = training.Loop._step

    def full(loop, turn, batch):
        step(loop, turn, batch)  # weights have moved when the memory is full
        if len(loop.trainers) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    kept, epochs = [], Lockstep._epochs

    def watched(steps, trainers):
        losses = epochs(steps, trainers)
        kept.append(len(steps.loops))
        return losses

    def dropped(steps, key, drop=Lockstep._drop):
        loop = steps.loops[key]
        drop(steps, key)
        beyond.update(part.untyped_storage().nbytes() - part.nbytes for own in loop.trainers for part in own.method.parameters())

    beyond: set[int] = set()
    monkeypatch.setattr(Lockstep, "_drop", dropped)
    monkeypatch.setattr(Lockstep, "_epochs", watched)
    monkeypatch.setattr(training.Loop, "_step", full)
    together = ends("devise", tmp_path / "5", 0, 5)
    assert max(kept) == 1, "two loops at a time might not fit"
    assert beyond == {0}, "a view would keep the weights of all"
    assert_same(singly, together)
    assert "5 runs at once do not fit the memory of the device; going on with 2" in caplog.text
    assert {record["cost"]["runs_at_once"] for record, *_ in together} <= {1, 2}
    assert max(record["cost"]["runs_at_once"] for record, *_ in together) == 2


def test_one_run_that_does_not_fit_is_an_error_of_its_own(tmp_path, monkeypatch):
    def full(loop, turn, batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training.Loop, "_step", full)
    job = config.resolve("devise", "demo", seeds=2, settings=QUICK)
    states = list(runner.run_job(job, runner.Options(tmp_path, "cpu")))
    assert [state.record for state in states] == [None, None]
    assert all("ran out of memory; use a smaller --set batch_size" in state.error for state in states)


def test_a_seed_that_diverges_does_not_stop_the_others(tmp_path):
    """Its loss is not a number; those of the others, in the same stack, are what they were."""
    settings = {**QUICK, "epochs": 2}
    good = ends("devise", tmp_path / "good", 3, settings=settings)
    job = config.resolve("devise", "demo", seeds=3, precision="float64", settings=settings)
    begin = training.Trainer.begin

    def spoiled(trainer):
        begin(trainer)
        if trainer.seed == 1:
            next(trainer.method.parameters()).data.fill_(torch.nan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "begin", spoiled)
        states = {state.run_id: state for state in runner.run_job(job, runner.Options(tmp_path / "bad", "cpu"))}
    ended = [states[record["run_id"]] for record, *_ in good]
    assert "loss classification is nan" in ended[1].error
    for place in (0, 2):
        assert records.read(ended[place].record)["metrics"] == good[place][0]["metrics"]


@pytest.mark.parametrize("name", [name for name in TRAINED if plugins.load("methods", name).fits_stacked])
def test_classifiers_are_fitted_at_once(name):
    subject = Subject(name)
    small = {**subject.build().settings.model_dump(), **GENERATIVE}
    built = [
        training.build(subject.kind, subject.kind.Settings(**small), subject.build().shapes, torch.device("cpu"), seed).double()
        for seed in (0, 1)
    ]
    batch, classes = subject.training.batch, subject.candidates()
    double = batch._replace(audio=batch.audio.double(), video=batch.video.double())
    given = subject.training._replace(batch=double, classes=subject.classes._replace(vectors=subject.classes.vectors.double()))
    classes = classes._replace(vectors=classes.vectors.double())
    alone = [scoring.prepare(method, given, classes, seed) for seed, method in enumerate(built)]
    together = stacking.prepare(built, [(0,), (1,)], given, classes)
    torch.testing.assert_close(together, torch.stack(alone), rtol=TOLERANCE, atol=TOLERANCE)
    assert not torch.equal(alone[0], alone[1])


def test_a_copy_keeps_its_views_until_it_is_released(subject):
    methods = [subject.build(seed) for seed in (0, 1)]
    before = [{name: part.clone() for name, part in method.state_dict().items()} for method in methods]
    stack = stacking.Stack(methods)
    name, stacked = next(iter(stack.parameters.items()))
    assert methods[1].get_parameter(name).data_ptr() == stacked[1].data_ptr()
    stack.release()
    assert methods[1].get_parameter(name).data_ptr() != stacked[1].data_ptr()
    for method, values in zip(methods, before, strict=True):
        assert all(torch.equal(part, values[name]) for name, part in method.state_dict().items())


def test_a_checkpoint_of_a_stacked_run_holds_that_run_only(subject, tmp_path):
    methods = [subject.build(seed) for seed in range(4)]
    trainers = [training.Trainer(method, subject.pool, subject.classes, seed, 1) for seed, method in enumerate(methods)]
    torch.save(trainers[0].state_dict(), tmp_path / "alone.pt")
    training.Loop(trainers)
    torch.save(trainers[0].state_dict(), tmp_path / "stacked.pt")
    assert (tmp_path / "stacked.pt").stat().st_size < 1.1 * (tmp_path / "alone.pt").stat().st_size


def test_a_run_by_itself_needs_no_company():
    def steps():
        yield from ()
        return "done"

    assert result_of(steps()) == "done"

    def fails():
        yield from ()
        raise ValueError("so")

    with pytest.raises(ValueError, match="so"):
        result_of(fails())


@pytest.mark.parametrize("stack", [1, 3])
def test_the_clips_of_a_stage_are_let_go_with_it(stack, tmp_path, monkeypatch):
    """Runs one after the other, or at once, keep no clips of a stage that all have left."""
    pools, alive, pool, report = [], [], batches.pool, gzsl._Session._report

    def made(*given):
        found = pool(*given)
        pools.append(weakref.ref(found.label))
        return found

    def counted(session, stage, *given):
        gc.collect()
        alive.append((stage, sum(one() is not None for one in pools)))
        report(session, stage, *given)

    monkeypatch.setattr(batches, "pool", made)
    monkeypatch.setattr(gzsl._Session, "_report", counted)
    ends("devise", tmp_path, stack)
    assert max(count for _, count in alive) <= (1 if stack == 1 else 2), "one run is in stage 2 before the last leaves stage 1"
    assert {count for stage, count in alive if stage == 2} == {1}

"""What the loop and the protocol do for adversarial, generative and two-distance methods."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from alone import result_of
from tables import write

from avgzsl_bench import batches, identity, plugins, run, runner, training
from avgzsl_bench.contracts import ClassText, Clips, Method, Shapes, TrainingSettings
from avgzsl_bench.methods.devise import MEMBER as DEVISE
from avgzsl_bench.precision import PRECISIONS

CPU = torch.device("cpu")
SMALL = {"epochs": 4, "batches_per_epoch": 5, "batch_size": 16}


class Duel(Method):
    """Three turns on what they are given, written down."""

    turns = ("critic", "critic", "generator")
    own_batches = True

    def __init__(self, settings, shapes):
        super().__init__(settings, shapes)
        self.critic, self.generator = torch.nn.Parameter(torch.ones(())), torch.nn.Parameter(torch.ones(()))
        self.seen = []

    def parts(self):
        return {"critic": [self.critic], "generator": [self.generator]}

    def losses(self, batch, classes, turn):
        self.seen.append((turn, batch.audio.clone()))
        return {turn: getattr(self, turn) * 2, "both": self.critic + self.generator}  # whose slope is of both parts


def loop(kind, **settings):
    rng = np.random.default_rng(0)
    clips = Clips(*(rng.standard_normal((40, 3)).astype(np.float32) for _ in range(2)), np.repeat(np.arange(4), 10), ())
    method = kind(TrainingSettings(batches_per_epoch=2, batch_size=8, **settings), Shapes(3, 3, 2, 4))
    return training.Trainer(method, batches.pool(clips, range(4), CPU), ClassText(torch.zeros(4, 1, 2)), 0, 1)


def test_every_turn_moves_its_own_part_on_a_batch_of_its_own():
    trainer = loop(Duel, learning_rate=0.1)
    losses = trainer.epoch()
    turns, batches = zip(*trainer.method.seen, strict=True)
    assert turns == ("critic", "critic", "generator") * 2
    assert all(not torch.equal(one, other) for i, one in enumerate(batches) for other in batches[:i])
    assert trainer.method.critic.item() == pytest.approx(1 - 4 * 0.1, abs=1e-3)
    assert trainer.method.generator.item() == pytest.approx(1 - 2 * 0.1, abs=1e-3)
    steps = [1, 1 - 0.1, 1 - 0.2, 1 - 0.3]
    assert losses["critic"] == pytest.approx(2 * np.mean(steps), abs=1e-3), "the mean over the turns that have the term"


def test_turns_share_a_batch_unless_they_say_otherwise():
    class Shared(Duel):
        own_batches = False

    trainer = loop(Shared)
    trainer.epoch()
    batches = [batch for _, batch in trainer.method.seen]
    assert torch.equal(batches[0], batches[2])
    assert not torch.equal(batches[2], batches[3])


class Fitting(DEVISE):
    """DeViSE whose 'classifier' is right after its second epoch only."""

    classifier_epochs = 3

    def prepare(self, training, classes):
        texts = super().prepare(training, classes)
        return torch.stack([torch.roll(texts, 1, 0), texts, torch.roll(texts, 2, 0)])


@pytest.fixture
def member(monkeypatch):
    """Let a class of a test stand in for devise."""
    load = plugins.load

    def use(kind):
        def found(what, name):
            return kind if (what, name) == ("methods", "devise") else load(what, name)

        monkeypatch.setattr(plugins, "load", found)

    return use


def test_stage_1_selects_the_classifier_epoch_and_stage_2_keeps_it(tmp_path, member):
    write(tmp_path / "table")
    (plain,) = run("devise", "mini", "hashed", settings=SMALL, out=tmp_path / "plain", device="cpu")
    member(Fitting)
    (fitted,) = run("devise", "mini", "hashed", settings=SMALL, out=tmp_path / "fitted", device="cpu")
    assert fitted["selection"]["classifier_epoch"] == 2
    assert fitted["metrics"] == plain["metrics"]
    assert "classifier_epoch" not in plain["selection"]


def test_of_equal_classifier_epochs_the_first_is_selected(tmp_path, member):
    class Alike(Fitting):
        def prepare(self, training, classes):
            return torch.stack([DEVISE.prepare(self, training, classes)] * 3)

    write(tmp_path / "table")
    member(Alike)
    (record,) = run("devise", "mini", "hashed", settings=SMALL, out=tmp_path / "runs", device="cpu")
    assert record["selection"]["classifier_epoch"] == 1


def test_a_turn_without_a_part_runs_forward_without_gradients():
    class Watched(Duel):
        turns = ("critic", "watch")

        def parts(self):
            return {"critic": [self.critic]}

        def losses(self, batch, classes, turn):
            self.seen.append((turn, torch.is_grad_enabled()))
            return {} if turn == "watch" else super().losses(batch, classes, turn)

    trainer = loop(Watched)
    trainer.epoch()
    assert {given for given in trainer.method.seen if isinstance(given[1], bool)} == {("critic", True), ("watch", False)}


def test_validation_is_scored_every_so_often_and_at_the_end(tmp_path):
    write(tmp_path / "table")
    logs = []

    class Watch:
        from avgzsl_bench.hookspecs import hookimpl

        @hookimpl
        def epoch_finished(self, run, epoch, logs):
            self.told.append((logs["stage"], epoch, logs["harmonic_mean"] is not None))

        told = logs

    with plugins.listening(Watch()):
        settings = {**SMALL, "epochs": 5, "score_every": 2}
        (record,) = run("devise", "mini", "hashed", settings=settings, out=tmp_path, device="cpu")
    assert [(epoch, scored) for stage, epoch, scored in logs if stage == 1] == [
        (1, False),
        (2, True),
        (3, False),
        (4, True),
        (5, True),
    ]
    assert record["selection"]["epoch"] in (2, 4, 5)


class TwoDistances(DEVISE):
    """DeViSE whose audio alone favours some classes, and whose video alone favours them more."""

    favoured = 0.0  # (classes,) 1 where favoured

    def scores_by_modality(self, batch, rows):
        both = self.scores(batch, rows)
        return {"audio": both + self.favoured, "video": both + 2 * self.favoured}


def test_reference_rules_average_the_biases_of_the_modalities(tmp_path, member):
    from dataclasses import replace

    from avgzsl_bench import config
    from avgzsl_bench.protocols._exams import Examiner

    write(tmp_path / "table")
    member(TwoDistances)
    setting = config.resolve("devise", "mini", "hashed", settings={**SMALL, "form": "reference"})[0]
    material = identity.Material(setting)
    examiner = Examiner(material.splits, material.vectors, material.shared, "reference", CPU)
    stage, exam = examiner.stage(1), examiner.validation()
    settings = {**setting.settings, "batches_per_epoch": 80, "learning_rate": 0.01}
    method = examiner.build(TwoDistances, TwoDistances.Settings(**settings), stage, 0)
    training.Trainer(method, stage.pool, stage.text, 0, 1).epoch()
    method.favoured = exam.text.seen.float()
    (judged,) = examiner.judge(method, stage, exam, 0)
    assert len(judged.by_modality) == 2
    alone = [
        examiner.calibrate(SimpleNamespace(decisions=one, by_modality=()), exam, method.reference_biases)
        for one in (judged.decisions, *judged.by_modality)
    ]
    bias, value = examiner.calibrate(judged, exam, method.reference_biases)
    assert len({found[0] for found in alone}) == 3, "the case shows nothing"
    assert bias == pytest.approx(np.mean([found[0] for found in alone]))
    assert value == alone[0][1], "the epoch is judged by the combined distance"
    planned = identity.plan([setting], tmp_path / "runs")[0]
    planned.folder.mkdir(parents=True)
    contract = replace(runner._contract(planned, CPU, lambda epoch, log: None), rules="corrected")
    protocol = runner.GZSL(material.splits, material.vectors, material.shared, "corrected", PRECISIONS["float32"], CPU)
    assert result_of(protocol.run(contract)).metrics["zero_shot"] > 0


def test_a_factor_of_one_keeps_the_rate():
    trainer = loop(Duel, plateau_factor=1.0, plateau_patience=0)
    before = trainer._rates()
    assert not any(trainer.schedule(value) for value in (0.5, 0.4, 0.3))
    assert trainer._rates() == before
    again = loop(Duel, plateau_factor=1.0)
    again.load_state_dict(trainer.state_dict())

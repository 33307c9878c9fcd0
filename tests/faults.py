"""Methods with one fault each, and what the kit says of a class."""

import numpy as np
import torch
from pydantic import ConfigDict, Field
from torch import nn
from torch.nn import functional as F

from avgzsl_bench import datasets, layers, plugins
from avgzsl_bench.contracts import Batch, Method, TemporalSettings, TrainingSettings
from avgzsl_bench.layers import Dropout
from avgzsl_bench.testing import checks_of, result_of
from avgzsl_bench.testing.subject import Subject


def outcomes_of(kind, target, monkeypatch):
    """Register a class under the name `mine`; the reasons of its checks by outcome and title."""
    monkeypatch.setitem(plugins.registry().members[kind], "mine", [plugins.Member(kind, "mine", target, "test 1.0")])
    results = [result_of(check) for check in checks_of("mine", kind)]
    found = {
        outcome: {r.check.title: r.reason for r in results if r.outcome == outcome} for outcome in ("pass", "fail", "skipped")
    }
    assert all(len(reason.splitlines()) == 1 for reason in found["fail"].values()), found["fail"]
    return found


class Good(Method):
    """One linear map, with dropout."""

    class Settings(TrainingSettings):
        dropout: float = Field(0.2, description="Dropout of the clips.")

    def __init__(self, settings, shapes):
        super().__init__(settings, shapes)
        self.dropout = Dropout(settings.dropout)
        self.map = nn.Linear(shapes.audio + shapes.video, shapes.text)

    def losses(self, batch, classes, turn):
        clips, texts = self.embed(batch, classes.vectors.mean(1))
        return {"cross_entropy": F.cross_entropy(clips @ texts.T / 0.1, batch.label)}

    def prepare(self, training, classes):
        return classes.vectors.mean(1)

    def embed(self, batch, rows):
        clips = self.map(self.dropout(torch.cat([batch.audio, batch.video], 1)))
        return F.normalize(clips, dim=1), F.normalize(rows, dim=1)


class UnkeyedDropout(Good):
    def __init__(self, settings, shapes):
        super().__init__(settings, shapes)
        self.dropout = nn.Dropout(0.2)


class UnkeyedNoise(Good):
    def losses(self, batch, classes, turn):
        noisy = batch._replace(audio=batch.audio + torch.randn_like(batch.audio))
        return super().losses(noisy, classes, turn)


class ReadsTheDevice(Good):
    def losses(self, batch, classes, turn):
        return {name: term * (1 if term.item() > 0 else 2) for name, term in super().losses(batch, classes, turn).items()}


class PerClipLoss(Good):
    def losses(self, batch, classes, turn):
        clips, texts = self.embed(batch, classes.vectors.mean(1))
        return {"cross_entropy": F.cross_entropy(clips @ texts.T, batch.label, reduction="none")}


class Undefined(Good):
    def losses(self, batch, classes, turn):
        return {name: term * float("nan") for name, term in super().losses(batch, classes, turn).items()}


class Climbs(Good):
    def losses(self, batch, classes, turn):
        return {name: 2 * term.detach() - term for name, term in super().losses(batch, classes, turn).items()}


class MixesCandidates(Good):
    def scores(self, batch, rows):
        return super().scores(batch, rows).softmax(1)


class LooksAtPlaces(Good):
    def scores(self, batch, rows):
        return super().scores(batch, rows) + torch.arange(len(rows)) * 1e-3


class MixesClips(Good):
    def scores(self, batch, rows):
        scores = super().scores(batch, rows)
        return scores - scores.mean(0)


class KeepsTheGraph(Good):
    def scores(self, batch, rows):
        with torch.enable_grad():
            return super().scores(batch, rows)


class WrongRows(Good):
    def prepare(self, training, classes):
        return training.classes.vectors.mean(1)


class SaysUnseeded(Good):
    seeded = False


class SaysSeeded(Good):
    turns = ()

    def __init__(self, settings, shapes):
        super().__init__(settings, shapes)
        nn.init.eye_(self.map.weight)
        nn.init.zeros_(self.map.bias)


class HidesState(Good):
    def __init__(self, settings, shapes):
        super().__init__(settings, shapes)
        self.offset = torch.randn(shapes.text)

    def prepare(self, training, classes):
        return super().prepare(training, classes) + 0.01 * self.offset


class WritesTheBatch(Good):
    def losses(self, batch, classes, turn):
        batch.audio.add_(1e-3)
        return super().losses(batch, classes, turn)


class WritesTheText(Good):
    def prepare(self, training, classes):
        training.classes.vectors.mul_(0.999)
        return super().prepare(training, classes)


class TakesAnySetting(Good):
    class Settings(Good.Settings):
        model_config = ConfigDict(extra="ignore")


class SilentSetting(Good):
    class Settings(Good.Settings):
        width: int = 3


class StrangeNeeds(Good):
    needs = frozenset({"audio", "video", "smell"})


class StrangeTurn(Good):
    def parts(self):
        return {"all": list(self.parameters()), "critic": list(self.parameters())}


class StrangeParameters(Good):
    def parts(self):
        return {"all": [*self.parameters(), nn.Parameter(torch.zeros(1))]}


class Remembers(Good):
    """Cheats: it has seen the test clips, and knows a class by its place among the candidates."""

    def __init__(self, settings, shapes):
        super().__init__(settings, shapes)
        subject = object.__new__(Subject)
        subject.splits = datasets.get("demo").open(None, "mapped", "main")
        subject.unseen = subject.splits.role_ids("test_unseen")
        clips = subject.test_clips
        both = np.concatenate([clips.audio, clips.video], axis=1)
        place = sorted(subject.splits.role_ids("train", "validation_unseen", "test_unseen"))
        means = np.zeros((len(place), both.shape[1]), np.float32)
        for i in subject.unseen:
            means[place.index(i)] = both[clips.label == i].mean(0)
        self.register_buffer("means", torch.from_numpy(means))

    def prepare(self, training, classes):
        return torch.cat([super().prepare(training, classes), self.means], 1)

    def scores(self, batch, rows):
        text, means = rows.split([rows.shape[1] - self.means.shape[1], self.means.shape[1]], dim=1)
        return super().scores(batch, text) + torch.cat([batch.audio, batch.video], 1) @ means.T


class LearnsNothing(Good):
    turns = ()


class IgnoresClips(Good):
    turns = ()
    seeded = False

    def scores(self, batch, rows):
        return torch.zeros(len(batch.audio), len(rows))


class StrangeSource(Good):
    """Says where it is known from in a word that the tables do not have."""

    known_from = "hearsay"


class TakesAnyWeights(Good):
    def load_released(self, state):
        pass


class LosesItsWeights(Good):
    def load_released(self, state):
        nn.init.zeros_(self.map.weight)
        layers.load_renamed(self, state, {})


class HearsOnly(Good):
    def scores_by_modality(self, batch, rows):
        return {"audio": self.scores(batch, rows)}


class Fits(Good):
    """Sound: its rows after each of three classifier epochs."""

    classifier_epochs = 3

    def prepare(self, training, classes):
        return torch.stack([super().prepare(training, classes)] * 3)


class FitsTwice(Fits):
    def prepare(self, training, classes):
        return super().prepare(training, classes)[1:]


class Adversarial(Good):
    """Sound: two turns that move different parameters, each on a batch of its own."""

    turns = ("critic", "generator")
    own_batches = True

    def __init__(self, settings, shapes):
        super().__init__(settings, shapes)
        self.critic = nn.Linear(shapes.text, 1)

    def parts(self):
        return {"critic": list(self.critic.parameters()), "generator": list(self.map.parameters())}

    def losses(self, batch, classes, turn):
        clips, texts = self.embed(batch, classes.vectors.mean(1))
        if turn == "critic":
            return {"apart": self.critic(clips.detach()).mean() - self.critic(texts).mean()}
        return super().losses(batch, classes, turn) | {"real": -0.01 * self.critic(clips).mean()}


class Temporal(Good):
    """Sound: the mean of the real tokens."""

    needs = frozenset({"audio", "video", "temporal"})

    class Settings(TemporalSettings, Good.Settings):
        pass

    def embed(self, batch, rows):
        means = [_mean(batch.audio, batch.audio_mask), _mean(batch.video, batch.video_mask)]
        return super().embed(Batch(audio=means[0], video=means[1]), rows)


def _mean(tokens, mask):
    return tokens.sum(1) / mask.sum(1, keepdim=True)


class LooksAtPadding(Temporal):
    def embed(self, batch, rows):
        return super().embed(batch._replace(audio_mask=torch.ones_like(batch.audio_mask)), rows)


class LooksAtTimeOfPadding(Temporal):
    def embed(self, batch, rows):
        return super().embed(batch._replace(audio=batch.audio + batch.audio_time[..., None] / 10), rows)


class MixesSequences(Temporal):
    def scores(self, batch, rows):
        scores = super().scores(batch, rows)
        return scores - scores.mean(0)


class Packed(Temporal):
    packed = True

    def embed(self, batch, rows):
        if not batch.packing:
            return super().embed(batch, rows)
        owners = (batch.audio, batch.packing.audio), (batch.video, batch.packing.video)
        means = [self.mean(*owner, batch.packing) for owner in owners]
        return Good.embed(self, Batch(audio=means[0], video=means[1]), rows)

    def mean(self, tokens, clip, packing):
        own = (clip == torch.arange(len(packing.seat))[:, None, None]).to(tokens)  # (clips, rows, time)
        return torch.einsum("crt,rtd->cd", own, tokens) / own.sum((1, 2))[:, None]


class MixesRows(Packed):
    def mean(self, tokens, clip, packing):
        return _mean(tokens, clip >= 0)[packing.seat[:, 0]]


class WantsNegativesInTime(Temporal):
    needs = frozenset({"audio", "video", "temporal", "negatives"})

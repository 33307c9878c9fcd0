"""The training loop: optimisers, schedules, epochs, checkpoint state. Nothing here knows a method by name.

A `Trainer` is one run's model with what belongs to it; a `Loop` takes the epochs of one trainer, or of several at once.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from avgzsl_bench.batches import Pool, batch_of, draw
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, TrainingSettings
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.layers import reseed
from avgzsl_bench.randomness import key_of, uniform
from avgzsl_bench.recording import Recorded
from avgzsl_bench.sequences import Limits
from avgzsl_bench.stacking import Stack, collate

RECOMPILE_LIMIT = 200


def build(kind: type[Method], settings: Any, shapes: Shapes, device: torch.device, *key: object) -> Method:
    """A method whose initial weights follow from `key` alone, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of("weights", *key) % 2**31)
        method = kind(settings, shapes)
    return method.to(device)


class Trainer:
    """One method on one pool of clips, an epoch at a time; each epoch's randomness follows from (seed, stage, epoch)."""

    def __init__(
        self, method: Method, data: Pool, classes: ClassText, seed: int, stage: int, autocast: torch.dtype | None = None
    ) -> None:
        self.method = method
        self.data = data
        self.classes = classes
        self.seed = seed
        self.stage = stage
        self.autocast = autocast  # what products are computed in, where it is not the dtype of the features
        self.epochs = 0  # completed
        self.compiled: bool | None = None  # whether torch.compile is used; decided before the first step and kept
        parts = method.parts() if method.turns else {}
        self.optimisers = {turn: _adam(part, method.settings) for turn, part in parts.items()}
        drops = bool(self.optimisers) and method.settings.plateau_factor < 1
        self.schedules = {turn: _plateau(each, method.settings) for turn, each in self.optimisers.items()} if drops else {}

    def epoch(self) -> dict[str, float]:
        """One epoch by itself; returns the mean of every loss term."""
        (outcome,) = Loop((self,)).epoch()
        if isinstance(outcome, AvgzslError):
            raise outcome
        return outcome

    def begin(self) -> None:
        """Start the next epoch."""
        self.epochs += 1
        reseed(self.method, *self._place)
        self.method.train()

    @property
    def _place(self) -> tuple[int, int, int]:
        return self.seed, self.stage, self.epochs

    def drawn(self) -> Tensor:
        """The clips of every batch of the epoch and a clip of another class each, (batches, 2, clips), from the epoch's key."""
        settings: TrainingSettings = self.method.settings
        count = settings.batches_per_epoch * (len(self.method.turns) if self.method.own_batches else 1)
        key = torch.tensor(key_of("sample", *self._place), dtype=torch.int32, device=self.data.label.device)
        return torch.stack(draw(self.data, count * settings.batch_size, key)).view(2, count, -1).transpose(0, 1)

    def sequences(self) -> Iterator[Batch]:
        """Batches of sequences, each cropped at a place of its own; they are gathered on the host, to which indices move once."""
        settings = self.method.settings
        limits = Limits(settings.training_audio_tokens, settings.training_video_tokens)
        chosen = self.drawn()[:, 0]  # (batches, clips)
        index = chosen.cpu()
        place = uniform(torch.tensor(key_of("crop", *self._place), dtype=torch.int32), (index.numel(),)).view(index.shape)
        for labels, host, where in zip(chosen, index, place, strict=True):
            batch = self.data.clips.batch(host, limits, where, self.method.packed)
            yield batch._replace(label=self.data.label[labels])

    def step(self, turn: str) -> None:
        """Move the parameters of a turn along their gradients."""
        self.optimisers[turn].step()

    def checked(self, means: dict[str, float]) -> dict[str, float] | AvgzslError:
        """The mean losses of the epoch, or what is wrong with them."""
        broken = [name for name, value in means.items() if not np.isfinite(value)]
        if not broken:
            return means
        where = f"epoch {self.epochs} of stage {self.stage}"
        return AvgzslError(f"loss {broken[0]} is {means[broken[0]]} in {where}; try a lower --set learning_rate=…")

    def schedule(self, harmonic_mean: float) -> bool:
        """Feed the plateau schedule; returns whether the learning rate dropped."""
        before = self._rates()
        for schedule in self.schedules.values():
            schedule.step(harmonic_mean)
        return self._rates() != before

    def drop(self) -> None:
        """Replay a learning-rate drop."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] *= self.method.settings.plateau_factor

    def _rates(self) -> list[float]:
        return [float(group["lr"]) for optimiser in self.optimisers.values() for group in optimiser.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All that a resume needs: plain tensors, numbers and containers."""
        return {
            # copies, since a view of stacked storage would be saved with all of it
            "method": {name: value.detach().clone() for name, value in self.method.state_dict().items()},
            "epochs": self.epochs,
            "compiled": self.compiled,
            "optimisers": {turn: optimiser.state_dict() for turn, optimiser in self.optimisers.items()},
            "schedules": {turn: schedule.state_dict() for turn, schedule in self.schedules.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.method.load_state_dict(state["method"])
        self.epochs = state["epochs"]
        self.compiled = state["compiled"]
        for turn, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][turn])
            for group in optimiser.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"] = group["lr"].to(self.data.label.device)
        for turn, schedule in self.schedules.items():
            schedule.load_state_dict(state["schedules"][turn])


class Loop:
    """Epochs of one trainer, or of several that are alike (`stacking.alike`) on the same clips: then they take each step at once.

    Everything a step reads lies where it lay before, and nothing waits for the device until the epoch ends, so that on a GPU
    one round of turns is recorded as a CUDA graph and replayed.
    """

    def __init__(self, trainers: Sequence[Trainer], record: bool = True) -> None:
        self.trainers = trainers
        first = trainers[0]
        self.method, self.data, self.classes, self.autocast = first.method, first.data, first.classes, first.autocast
        self.stack = Stack([trainer.method for trainer in trainers]) if len(trainers) > 1 else None
        self.losses = self.stack.losses if self.stack else self.method.forward
        if first.compiled:
            self.losses = _compiled(self.losses)
        self.place = torch.zeros(1, dtype=torch.int64, device=self.data.label.device)  # of the next batch among the drawn
        self.drawn: Tensor | None = None  # (batches, 2, clips), or (batches, 2, trainers, clips)
        self.streams: list[Iterator[Batch]] = []  # of sequences
        self.totals: dict[str, Tensor] = {}  # sums over the epoch of every term, () or (trainers,)
        self.terms: dict[str, int] = {}  # how often a round adds to each
        graphed = record and self.data.label.device.type == "cuda" and not self.data.clips.temporal
        self.round = Recorded(self._round) if graphed else self._round

    def epoch(self) -> list[dict[str, float] | AvgzslError]:
        """One epoch of each trainer: the mean of every loss term, or the error if one is not finite."""
        for trainer in self.trainers:
            trainer.begin()
        self._draw()
        for total in self.totals.values():
            total.zero_()
        for _ in range(self.method.settings.batches_per_epoch):
            self.round()
        return self._read()

    def _draw(self) -> None:
        if self.data.clips.temporal:
            self.streams = [trainer.sequences() for trainer in self.trainers]
            return
        drawn = [trainer.drawn() for trainer in self.trainers]
        fresh = torch.stack(drawn, 2) if self.stack else drawn[0]
        self.drawn = fresh if self.drawn is None else self.drawn.copy_(fresh)
        self.place.zero_()

    def _round(self) -> None:
        """One step of every turn."""
        self.terms.clear()
        batch = self._next()
        for number, turn in enumerate(self.method.turns):
            if number and self.method.own_batches:
                batch = self._next()
            self._step(turn, batch)

    def _next(self) -> Batch:
        if self.streams:
            return collate([next(stream) for stream in self.streams])
        assert self.drawn is not None
        index, negative = self.drawn.index_select(0, self.place)[0]
        self.place += 1
        return batch_of(self.data, index, negative if "negatives" in self.method.needs else None)

    def _step(self, turn: str, batch: Batch) -> None:
        trained = turn in self.trainers[0].optimisers
        with torch.set_grad_enabled(trained), torch.autocast(self.place.device.type, self.autocast, bool(self.autocast)):
            terms = self.losses(batch, self.classes, turn)
        if not terms:
            return
        (self.stack or self.method).zero_grad()
        torch.stack([term.sum() for term in terms.values()]).sum().backward()
        if self.stack:
            self.stack.share_gradients()
        for trainer in self.trainers:
            trainer.step(turn)
        for name, term in terms.items():
            self.terms[name] = self.terms.get(name, 0) + 1
            if name not in self.totals:
                self.totals[name] = torch.zeros_like(term, dtype=torch.float64)
            self.totals[name] += term.detach()

    def _read(self) -> list[dict[str, float] | AvgzslError]:
        if not self.totals:
            return [{} for _ in self.trainers]
        counts = [self.method.settings.batches_per_epoch * self.terms[name] for name in self.totals]
        rows = torch.stack(list(self.totals.values())).reshape(len(counts), -1).T.tolist()  # one transfer for everything
        means = [{name: row[i] / counts[i] for i, name in enumerate(self.totals)} for row in rows]
        return [trainer.checked(own) for trainer, own in zip(self.trainers, means, strict=True)]


def _compiled(losses: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    # to torch the model of every run and stage is new; past its limit of versions it would go on uncompiled without a word
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    compiled: Callable[..., dict[str, Tensor]] = torch.compile(losses, fullgraph=True)
    return compiled


def _adam(part: list[torch.nn.Parameter], settings: TrainingSettings) -> torch.optim.Adam:
    on_gpu = part[0].device.type == "cuda"
    rate: Any = torch.tensor(settings.learning_rate, device=part[0].device) if on_gpu else settings.learning_rate
    betas = (settings.adam_beta1, settings.adam_beta2)
    # on a GPU the rate is a tensor, so that a recorded graph reads its drops
    return torch.optim.Adam(part, lr=rate, betas=betas, weight_decay=settings.weight_decay, fused=True, capturable=on_gpu)


def _plateau(optimiser: torch.optim.Adam, settings: TrainingSettings) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(optimiser, mode="max", factor=settings.plateau_factor, patience=settings.plateau_patience)

"""The training loop: sampler, optimisers, schedules, checkpoint state. Nothing here knows a method by name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from avgzsl_bench.contracts import Batch, ClassText, Clips, Method, Shapes, Training, TrainingSettings
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.layers import key_of, reseed, uniform

SCORING_CHUNK = 8192  # clips scored at once, to bound memory; a constant, since a method may draw per call


class Pool(NamedTuple):
    """Training clips on the device, and what the class-uniform sampler needs."""

    audio: Tensor  # (clips, dim)
    video: Tensor  # (clips, dim)
    label: Tensor  # (clips,) row of the class among the training classes
    order: Tensor  # (clips,) clips sorted by class
    start: Tensor  # (classes,) where a class begins in `order`
    size: Tensor  # (classes,) its number of clips


def pool(clips: Clips, class_ids: Sequence[int], device: torch.device) -> Pool:
    """Move clips to the device once. Raises AvgzslError when a class has no clips or a clip no class."""
    rows = rows_of(clips.label, class_ids)
    count = np.bincount(rows, minlength=len(class_ids))
    if (count == 0).any():
        empty = [class_ids[i] for i in np.flatnonzero(count == 0)[:5]]
        raise AvgzslError(f"training classes without clips: ids {empty}; import the data again (`avgzsl data verify`)")
    arrays = (clips.audio, clips.video, rows, np.argsort(rows, kind="stable"), np.cumsum(count) - count, count)
    return Pool(*(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays))


def rows_of(label: NDArray[np.int64], class_ids: Sequence[int]) -> NDArray[np.int64]:
    """The position of each clip's class in ascending `class_ids`."""
    ids = np.asarray(class_ids)
    rows = np.searchsorted(ids, label).clip(max=len(ids) - 1)
    if (ids[rows] != label).any():
        raise AvgzslError(f"clips of classes {sorted(set(label[ids[rows] != label].tolist()))[:5]} that are not in this subset")
    return rows


def draw(data: Pool, clips: int, key: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of clips and of a clip of another class each, (clips,): class uniform, then clip uniform in its class."""
    classes = len(data.size)
    dice = uniform(key, (4, clips))
    row = (dice[0] * classes).long()
    other = (row + 1 + (dice[2] * (classes - 1)).long()) % classes
    return _within(data, row, dice[1]), _within(data, other, dice[3])


def _within(data: Pool, row: Tensor, dice: Tensor) -> Tensor:
    return data.order[data.start[row] + (dice * data.size[row]).long()]


def batch_of(data: Pool, index: Tensor, negative: Tensor | None = None) -> Batch:
    """The clips at `index`, beside the negative clips where a method needs them."""
    batch = Batch(label=data.label[index], audio=data.audio[index], video=data.video[index])
    if negative is None:
        return batch
    return batch._replace(
        label_negative=data.label[negative], audio_negative=data.audio[negative], video_negative=data.video[negative]
    )


def build(kind: type[Method], settings: Any, shapes: Shapes, device: torch.device, *key: object) -> Method:
    """A method whose initial weights follow from `key` alone, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of("weights", *key) % 2**31)
        method = kind(settings, shapes)
    return method.to(device)


class Trainer:
    """Trains one method on one pool of clips, an epoch at a time; each epoch's randomness follows from (seed, stage, epoch)."""

    def __init__(self, method: Method, data: Pool, classes: ClassText, seed: int, stage: int) -> None:
        self.method = method
        self.data = data
        self.classes = classes
        self.seed = seed
        self.stage = stage
        self.epochs = 0  # completed
        self.parts = method.parts() if method.turns else {}
        self.optimisers = {turn: _adam(part, method.settings) for turn, part in self.parts.items()}
        self.schedules = {turn: _plateau(optimiser, method.settings) for turn, optimiser in self.optimisers.items()}

    def epoch(self) -> dict[str, float]:
        """One epoch; returns the mean of every loss term. The device is read once, at the end."""
        settings: TrainingSettings = self.method.settings
        self.epochs += 1
        place = (self.seed, self.stage, self.epochs)
        reseed(self.method, *place)
        self.method.train()
        key = torch.tensor(key_of("sample", *place), dtype=torch.int32, device=self.data.label.device)
        chosen, others = draw(self.data, settings.batches_per_epoch * settings.batch_size, key)
        negatives = "negatives" in self.method.needs
        totals: dict[str, Tensor] = {}
        for index, other in zip(chosen.split(settings.batch_size), others.split(settings.batch_size), strict=True):
            self._step(batch_of(self.data, index, other if negatives else None), totals)
        return self._read(totals, settings.batches_per_epoch)

    def _step(self, batch: Batch, totals: dict[str, Tensor]) -> None:
        for turn in self.method.turns:
            with torch.set_grad_enabled(turn in self.optimisers):
                terms = self.method(batch, self.classes, turn)
            if not terms:
                continue
            self.method.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()
            self.optimisers[turn].step()
            for name, value in terms.items():
                totals[name] = totals[name] + value.detach() if name in totals else value.detach()

    def _read(self, totals: dict[str, Tensor], batches: int) -> dict[str, float]:
        read = torch.stack(list(totals.values())).tolist() if totals else []  # one transfer for all terms
        means = {name: value / batches for name, value in zip(totals, read, strict=True)}
        broken = [name for name, value in means.items() if not np.isfinite(value)]
        if broken:
            where = f"epoch {self.epochs} of stage {self.stage}"
            raise AvgzslError(f"loss {broken[0]} is {means[broken[0]]} in {where}; try a lower --set learning_rate=…")
        return means

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
        return [group["lr"] for optimiser in self.optimisers.values() for group in optimiser.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All that a resume needs: plain tensors, numbers and containers."""
        return {
            "method": self.method.state_dict(),
            "epochs": self.epochs,
            "optimisers": {turn: optimiser.state_dict() for turn, optimiser in self.optimisers.items()},
            "schedules": {turn: schedule.state_dict() for turn, schedule in self.schedules.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.method.load_state_dict(state["method"])
        self.epochs = state["epochs"]
        for turn, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][turn])
            self.schedules[turn].load_state_dict(state["schedules"][turn])


def _adam(part: list[torch.nn.Parameter], settings: TrainingSettings) -> torch.optim.Adam:
    betas = (settings.adam_beta1, settings.adam_beta2)
    return torch.optim.Adam(part, lr=settings.learning_rate, betas=betas, weight_decay=settings.weight_decay)


def _plateau(optimiser: torch.optim.Adam, settings: TrainingSettings) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(optimiser, mode="max", factor=settings.plateau_factor, patience=settings.plateau_patience)


def on_device(clips: Clips, device: torch.device) -> Batch:
    """All clips as one batch without labels."""
    return Batch(
        audio=torch.from_numpy(np.ascontiguousarray(clips.audio)).to(device),
        video=torch.from_numpy(np.ascontiguousarray(clips.video)).to(device),
    )


@torch.no_grad()
def score(method: Method, clips: Batch, training: Training, classes: ClassText, *key: object) -> Tensor:
    """The score matrix (clips, classes) in evaluation mode, computed once, on the method's device."""
    method.eval()
    reseed(method, "scores", *key)
    rows = method.prepare(training, classes)
    chunks = zip(clips.audio.split(SCORING_CHUNK), clips.video.split(SCORING_CHUNK), strict=True)
    return torch.cat([method.scores(Batch(audio=audio, video=video), rows) for audio, video in chunks])

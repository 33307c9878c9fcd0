"""The training loop: sampler, optimisers, schedules, checkpoint state. Nothing here knows a method by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from avgzsl_bench.contracts import Batch, ClassText, Clips, Method, Shapes, Tokens, Training, TrainingSettings
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.layers import key_of, reseed, uniform
from avgzsl_bench.sequences import Limits, gather

SCORING_CHUNK = 8192  # clips scored at once, to bound memory; a constant, since a method may draw per call
TEMPORAL_CHUNK = 64  # the same for sequences

Seconds = Mapping[str, float]  # from one token of a modality to the next


class Held(NamedTuple):
    """Clips at hand: averaged features on the device, or sequences that stay mapped and are gathered batch by batch."""

    audio: Tensor | Tokens  # (clips, dim)
    video: Tensor | Tokens  # (clips, dim)
    seconds: Seconds
    device: torch.device

    def batch(self, index: Tensor, limits: Limits = Limits(), place: Tensor | None = None, packed: int = 0) -> Batch:
        """The clips at `index` (clips,), without labels; `place` in [0, 1) is where each longer sequence is cropped."""
        if isinstance(self.audio, Tensor) and isinstance(self.video, Tensor):
            return Batch(audio=self.audio[index], video=self.video[index])
        assert isinstance(self.audio, Tokens), "both modalities are averaged, or neither"
        assert isinstance(self.video, Tokens), "both modalities are averaged, or neither"
        where = None if place is None else place.numpy()
        tokens = (self.audio, self.video, self.seconds)
        audio, video, packing = gather(*tokens, index.numpy(), limits, where, self.device, packed)
        return Batch(
            audio=audio.values,
            video=video.values,
            audio_mask=audio.mask,
            video_mask=video.mask,
            audio_time=audio.time,
            video_time=video.time,
            packing=packing,
        )

    @property
    def temporal(self) -> bool:
        """Whether these are sequences."""
        return isinstance(self.audio, Tokens)


class Pool(NamedTuple):
    """Training clips, and what the class-uniform sampler needs, on the device."""

    clips: Held
    label: Tensor  # (clips,) row of the class among the training classes
    order: Tensor  # (clips,) clips sorted by class
    start: Tensor  # (classes,) where a class begins in `order`
    size: Tensor  # (classes,) its number of clips


def pool(clips: Clips, class_ids: Sequence[int], device: torch.device, seconds: Seconds | None = None) -> Pool:
    """Clips to train on. Raises AvgzslError when a class has no clips or a clip no class."""
    rows = rows_of(clips.label, class_ids)
    count = np.bincount(rows, minlength=len(class_ids))
    if (count == 0).any():
        empty = [class_ids[i] for i in np.flatnonzero(count == 0)[:5]]
        raise AvgzslError(f"training classes without clips: ids {empty}; import the data again (`avgzsl data verify`)")
    arrays = (rows, np.argsort(rows, kind="stable"), np.cumsum(count) - count, count)
    return Pool(hold(clips, device, seconds), *(_moved(array, device) for array in arrays))


def hold(clips: Clips, device: torch.device, seconds: Seconds | None = None) -> Held:
    """Clips for batches: averaged features move to the device once; sequences stay where they are."""
    audio, video = (part if isinstance(part, Tokens) else _moved(part, device) for part in (clips.audio, clips.video))
    return Held(audio, video, seconds or {}, device)


def _moved(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def everything(data: Pool, classes: ClassText) -> Training:
    """All that is trained on, for methods that fit in `prepare`; sequences stay on disk."""
    audio, video = data.clips.audio, data.clips.video
    if isinstance(audio, Tensor) and isinstance(video, Tensor):
        return Training(Batch(label=data.label, audio=audio, video=video), classes)
    return Training(Batch(label=data.label), classes)


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
    """The clips at `index` with their labels, beside the negative clips where a method needs them."""
    batch = data.clips.batch(index)._replace(label=data.label[index])
    if negative is None:
        return batch
    other = data.clips.batch(negative)
    return batch._replace(label_negative=data.label[negative], audio_negative=other.audio, video_negative=other.video)


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
        drops = bool(self.optimisers) and method.settings.plateau_factor < 1
        self.schedules = {turn: _plateau(each, method.settings) for turn, each in self.optimisers.items()} if drops else {}

    def epoch(self) -> dict[str, float]:
        """One epoch; returns the mean of every loss term. The device is read once, at the end."""
        self.epochs += 1
        reseed(self.method, *self._place)
        self.method.train()
        totals: dict[str, list[Tensor]] = {}
        batches = self._batches()
        for _ in range(self.method.settings.batches_per_epoch):
            batch = next(batches)
            for number, turn in enumerate(self.method.turns):
                if number and self.method.own_batches:
                    batch = next(batches)
                self._step(turn, batch, totals)
        return self._read(totals)

    @property
    def _place(self) -> tuple[int, int, int]:
        return self.seed, self.stage, self.epochs

    def _batches(self) -> Iterator[Batch]:
        """Every batch of the epoch, drawn from its own key."""
        settings: TrainingSettings = self.method.settings
        count = settings.batches_per_epoch * (len(self.method.turns) if self.method.own_batches else 1)
        key = torch.tensor(key_of("sample", *self._place), dtype=torch.int32, device=self.data.label.device)
        chosen, others = (drawn.split(settings.batch_size) for drawn in draw(self.data, count * settings.batch_size, key))
        if self.data.clips.temporal:
            yield from self._sequences(chosen)
            return
        negatives = "negatives" in self.method.needs
        for index, other in zip(chosen, others, strict=True):
            yield batch_of(self.data, index, other if negatives else None)

    def _sequences(self, chosen: Sequence[Tensor]) -> Iterator[Batch]:
        """Batches of sequences, each cropped at a place of its own; they are gathered on the host, to which indices move once."""
        settings = self.method.settings
        limits = Limits(settings.training_audio_tokens, settings.training_video_tokens)
        index = torch.cat(list(chosen)).cpu()
        place = uniform(torch.tensor(key_of("crop", *self._place), dtype=torch.int32), (len(index),))
        for labels, host, where in zip(chosen, index.split(settings.batch_size), place.split(settings.batch_size), strict=True):
            batch = self.data.clips.batch(host, limits, where, self.method.packed)
            yield batch._replace(label=self.data.label[labels])

    def _step(self, turn: str, batch: Batch, totals: dict[str, list[Tensor]]) -> None:
        with torch.set_grad_enabled(turn in self.optimisers):
            terms = self.method(batch, self.classes, turn)
        if not terms:
            return
        self.method.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        self.optimisers[turn].step()
        for name, value in terms.items():
            totals.setdefault(name, []).append(value.detach())

    def _read(self, totals: dict[str, list[Tensor]]) -> dict[str, float]:
        read = torch.stack([torch.stack(values).mean() for values in totals.values()]).tolist() if totals else []
        means = dict(zip(totals, read, strict=True))  # one transfer for all terms
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
        for turn, schedule in self.schedules.items():
            schedule.load_state_dict(state["schedules"][turn])


def _adam(part: list[torch.nn.Parameter], settings: TrainingSettings) -> torch.optim.Adam:
    betas = (settings.adam_beta1, settings.adam_beta2)
    return torch.optim.Adam(part, lr=settings.learning_rate, betas=betas, weight_decay=settings.weight_decay)


def _plateau(optimiser: torch.optim.Adam, settings: TrainingSettings) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(optimiser, mode="max", factor=settings.plateau_factor, patience=settings.plateau_patience)


@torch.no_grad()
def prepare(method: Method, training: Training, classes: ClassText, *key: object) -> Tensor:
    """The rows of the candidate classes in evaluation mode, (fits, classes, ...): one fit, or one for each classifier epoch."""
    reseed(method.eval(), "scores", *key)
    rows = method.prepare(training, classes)
    return rows if method.classifier_epochs else rows[None]


@torch.no_grad()
def score(method: Method, clips: Held, rows: Tensor, *key: object) -> Tensor:
    """The score matrix (clips, classes) in evaluation mode, computed once, on the method's device."""
    reseed(method.eval(), "scores", *key)
    return _in_chunks(clips, method.settings, lambda batch: {"": method.scores(batch, rows)})[""]


@torch.no_grad()
def score_modalities(method: Method, clips: Held, rows: Tensor, *key: object) -> dict[str, Tensor]:
    """The score matrices (clips, classes) of audio and video alone, where the method combines them; else none."""
    reseed(method.eval(), "scores", *key)
    return _in_chunks(clips, method.settings, lambda batch: method.scores_by_modality(batch, rows))


@torch.no_grad()
def embed(method: Method, clips: Held, rows: Tensor, *key: object) -> tuple[Tensor, Tensor]:
    """The learned space in evaluation mode: clips (clips, k) beside classes (classes, k), as `score` compares them."""
    reseed(method.eval(), "scores", *key)
    beside: list[Tensor] = []

    def clips_of(batch: Batch) -> dict[str, Tensor]:
        embedded, classes = method.embed(batch, rows)
        beside.append(classes)
        return {"": embedded}

    return _in_chunks(clips, method.settings, clips_of)[""], beside[0]


def _in_chunks(clips: Held, settings: Any, scores: Callable[[Batch], dict[str, Tensor]]) -> dict[str, Tensor]:
    if isinstance(clips.audio, Tokens) and isinstance(clips.video, Tokens):
        limits = Limits(settings.scoring_audio_tokens, settings.scoring_video_tokens)
        # clips of like length together, so that little is computed on padding
        order = torch.from_numpy(np.argsort(clips.video.length + clips.audio.length, kind="stable"))
        parts = [scores(clips.batch(index, limits)) for index in order.split(TEMPORAL_CHUNK)]
        back = order.argsort().to(clips.device)
        return {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}
    pairs = zip(*(part.split(SCORING_CHUNK) for part in (clips.audio, clips.video) if isinstance(part, Tensor)), strict=True)
    parts = [scores(Batch(audio=audio, video=video)) for audio, video in pairs]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

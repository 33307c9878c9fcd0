"""How fast a method trains on this device, beside a plain eager module on the same synthetic clips in the same minutes."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from avgzsl_bench import batches, config, datasets, layers, plugins, scoring, training
from avgzsl_bench.contracts import Batch, ClassText, Clips, Method, Shapes, Tokens
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.precision import Precision
from avgzsl_bench.recording import wait_for
from avgzsl_bench.runner import peaks
from avgzsl_bench.training import Loop, Trainer

STAGE_1_CLIPS = {"ucf": 3174, "activitynet": 9204, "vggsound": 70_351}
CLIPS_PER_CLASS = 100  # of other data sets
TEXT = {"clip_clap": 1536}  # width of the class text, by features; word2vec's elsewhere
WORD2VEC = 300
SECONDS = (1, 20)  # clips of sequences: shortest and longest, 7 s in the mean, as UCF's
ROUND = 1.0  # seconds of steps in a round, where no number is given; what an epoch costs once is then shared as in a run
FEWEST, GATHERED = 4, 16  # steps of a round at least, and batches that those without a sampler take over and over


class Lane(NamedTuple):
    """One way to take steps, timed in turns with the others."""

    name: str
    runs: int  # trained at once
    milliseconds: tuple[float, ...]  # a step (of all runs at once), one value a round
    ratios: tuple[float, ...]  # to the plain step of the same round
    peak_bytes: int  # of the device; on the CPU, of the process so far


class Bench(NamedTuple):
    """What was measured."""

    method: str
    dataset: str
    features: str
    clips: int
    batch_size: int
    batches_per_epoch: int
    parameters: int
    steps: int  # a round
    lanes: tuple[Lane, ...]
    scoring_milliseconds: float  # one `prepare` and the scores of as many clips

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**self._asdict(), "lanes": [lane._asdict() for lane in self.lanes], "synthetic": True}


def measure(
    method: str,
    dataset: str,
    features: str | None = None,
    *,
    device: torch.device,
    precision: Precision,
    runs: int = 5,
    compiled: bool = False,
    rounds: int = 5,
    steps: int | None = None,
    settings: dict[str, Any] | None = None,
) -> Bench:
    """Time a method by its recipe on synthetic clips of the data set's published sizes, in `rounds` of `steps` steps.

    Without `steps` a round lasts about a second, and is an epoch at most. Raises AvgzslError for unknown names and for a
    method that trains nothing.
    """
    maker = _Maker(method, dataset, features, device, precision, settings or {})
    steps = steps or maker.fill(ROUND)
    maker.take(steps)
    first = maker.trainer(0)
    ways = maker.ways(runs, compiled)
    times: dict[str, list[float]] = {name: [] for name in ways}
    peaks = dict.fromkeys(ways, 0)
    for _ in range(rounds + 1):  # the first warms up
        for name, (way, _) in ways.items():
            _reset_peak(device)
            times[name].append(1e3 * _seconds(way, device) / steps)
            peaks[name] = max(peaks[name], _peak(device))
    plain = times["plain eager"][1:]
    lanes = [
        Lane(
            name,
            count,
            tuple(times[name][1:]),
            tuple(own / base for own, base in zip(times[name][1:], plain, strict=True)),
            peaks[name],
        )
        for name, (_, count) in ways.items()
    ]
    own = first.method.settings
    scored = min(1e3 * _seconds(lambda: maker.score(first), device) for _ in range(2))
    parameters = sum(part.numel() for part in first.method.parameters())
    sizes = (len(maker.pool.label), own.batch_size, maker.batches_per_epoch, parameters, steps)
    return Bench(method, dataset, maker.features, *sizes, tuple(lanes), scored)


class _Maker:
    """Trainers of one method, all on the same clips."""

    def __init__(
        self,
        method: str,
        dataset: str,
        features: str | None,
        device: torch.device,
        precision: Precision,
        settings: dict[str, Any],
    ) -> None:
        (chosen,) = config.resolve(method, dataset, features=features, settings=settings)
        self.kind: type[Method] = plugins.load("methods", method)
        if not hasattr(self.kind.Settings(), "batches_per_epoch"):
            raise AvgzslError(f"{method} trains nothing, so it has no steps to measure; choose another method")
        data = datasets.get(dataset)
        sizes, self.features = data.features[chosen.features], chosen.features
        classes = sum(info.role == "train" for info in data.classes(chosen.split))
        width = TEXT.get(chosen.features, WORD2VEC)
        self.batches_per_epoch: int = chosen.settings["batches_per_epoch"]
        self.settings = self.kind.Settings(**chosen.settings)
        self.shapes = Shapes(sizes.audio, sizes.video, width, classes)
        self.device, self.precision = device, precision
        count = STAGE_1_CLIPS.get(dataset, CLIPS_PER_CLASS * classes)
        clips = _clips(count, classes, sizes, "temporal" in self.kind.needs)
        self.pool = batches.pool(clips, range(classes), device, sizes.seconds, precision.dtype)
        text = torch.randn(classes, 1, width, generator=torch.Generator().manual_seed(0))
        seen = torch.arange(classes, device=device) < classes - 1  # generative methods synthesise the last
        self.text = ClassText(nn.functional.normalize(text, dim=2).to(device, precision.dtype))
        self.candidates = self.text._replace(seen=seen)

    def take(self, steps: int) -> None:
        """Take so many steps an epoch from now on."""
        self.settings = self.settings.model_copy(update={"batches_per_epoch": steps})

    def fill(self, seconds: float) -> int:
        """How many steps fill the time, a few at least and an epoch at most."""
        self.take(FEWEST)
        loop = Loop((self.trainer(0),), record=False)
        loop.epoch()
        fitting = round(FEWEST * seconds / _seconds(loop.epoch, self.device))
        return min(self.batches_per_epoch, max(FEWEST, fitting))

    def trainer(self, seed: int) -> Trainer:
        """A fresh one."""
        method = training.build(self.kind, self.settings, self.shapes, self.device, seed).to(self.precision.dtype)
        return Trainer(method, self.pool, self.text, seed, 1, self.precision.autocast)

    def ways(self, runs: int, compiled: bool) -> dict[str, tuple[Callable[[], Any], int]]:
        """Each way to take an epoch of a few steps, and how many runs it takes it for."""
        loop = Loop((self.trainer(0),), record=False)
        found: dict[str, tuple[Callable[[], Any], int]] = {
            "plain eager": (self._plain(), 1),
            "bare steps": (self._bare(), 1),
            "loop": (loop.epoch, 1),
        }
        if self.device.type == "cuda" and not self.pool.clips.temporal:
            found["loop as a CUDA graph"] = (Loop((self.trainer(0),)).epoch, 1)
        if compiled:
            trainer = self.trainer(0)
            trainer.compiled = True
            found["compiled loop"] = (Loop((trainer,)).epoch, 1)
        if runs > 1:
            found["stacked"] = (Loop([self.trainer(seed) for seed in range(runs)]).epoch, runs)
        return found

    def _gathered(self) -> list[list[Batch]]:
        """Some batches of an epoch, those of a round of turns together."""
        loop = Loop((self.trainer(0),), record=False)
        loop.trainers[0].begin()
        loop._draw()
        drawn = len(loop.method.turns) if loop.method.own_batches else 1
        return [[loop._next() for _ in range(drawn)] for _ in range(min(GATHERED, self.settings.batches_per_epoch))]

    def _bare(self) -> Callable[[], None]:
        """Forward, backward and optimiser of ours on batches that are there already."""
        trainer, given = self.trainer(0), self._gathered()
        return lambda: self._steps(trainer.begin, trainer.method, given, trainer.optimisers)

    def _plain(self) -> Callable[[], None]:
        """The same by torch's own dropout and its default Adam: what a plain training script does in a step."""
        method, given = self.trainer(0).method, self._gathered()
        if "temporal" not in method.needs:  # whose dropout is drawn for named rows
            _use_torch_dropout(method)
        rates = {"lr": self.settings.learning_rate, "weight_decay": self.settings.weight_decay}
        optimisers = {turn: torch.optim.Adam(part, **rates) for turn, part in method.parts().items()}
        return lambda: self._steps(method.train, method, given, optimisers)

    def _steps(
        self, begin: Callable[[], Any], method: Method, given: Sequence[Sequence[Batch]], optimisers: dict[str, torch.optim.Adam]
    ) -> None:
        begin()
        for step in range(self.settings.batches_per_epoch):
            drawn = given[step % len(given)]
            for number, turn in enumerate(method.turns):
                batch = drawn[number if method.own_batches else 0]
                with torch.autocast(self.device.type, self.precision.autocast, bool(self.precision.autocast)):
                    terms = method(batch, self.text, turn)
                if terms and turn in optimisers:
                    method.zero_grad()
                    torch.stack(list(terms.values())).sum().backward()
                    optimisers[turn].step()

    def score(self, trainer: Trainer) -> None:
        """One fit of the rows, and scores of all clips."""
        rows = scoring.prepare(trainer.method, batches.everything(self.pool, self.text), self.candidates, 0)
        scoring.score(trainer.method, self.pool.clips, rows[-1], 0)


def _use_torch_dropout(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, layers.Dropout):
            setattr(module, name, nn.Dropout(child.rate))
        else:
            _use_torch_dropout(child)


def _clips(count: int, classes: int, sizes: Any, temporal: bool) -> Clips:
    rng = np.random.default_rng(0)
    label = np.sort(np.arange(count) % classes)
    widths = {"audio": sizes.audio, "video": sizes.video}
    if not temporal:
        parts = [np.abs(rng.standard_normal((count, width), dtype=np.float32)) for width in widths.values()]
        return Clips(parts[0], parts[1], label, ())
    seconds = np.clip(rng.gamma(3.0, 7 / 3, count), *SECONDS)
    audio, video = (_sequences(rng, seconds / sizes.seconds[name], width) for name, width in widths.items())
    return Clips(audio, video, label, ())


def _sequences(rng: np.random.Generator, tokens: NDArray[np.float64], width: int) -> Tokens:
    lengths = np.maximum(1, tokens).astype(np.int64)
    rows = rng.standard_normal((int(lengths.max()), width), dtype=np.float32)
    # every clip reads the same rows: what is measured is the copying, not the memory
    return Tokens((rows,), np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64), lengths)


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    found = peaks(device)
    return found["peak_device_bytes"] or found["peak_host_bytes"]

"""Runs side by side: each says what it needs computed next, and what is alike is computed at once.

A run is a generator: it yields pieces of work, an epoch of a `Trainer` or a `Fitting`, and is sent an `Outcome` for each.
"""

import logging
import time
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from avgzsl_bench import compiling, scoring, stacking
from avgzsl_bench.batches import batch_of, draw
from avgzsl_bench.contracts import Batch, ClassText, Method, Training
from avgzsl_bench.recording import wait_for
from avgzsl_bench.sequences import Limits
from avgzsl_bench.training import Loop, Trainer, build

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
CHECKED = 16  # clips with which it is checked that stacking changes nothing
# On a CPU the arithmetic takes the time, and stacked products are slower: copies pay only where a step is so small (clips times
# parameters) that starting its operations takes longer
SMALL_STEP = 2e7


class Fitting(NamedTuple):
    """A call of `prepare`, for methods that fit classifiers in it."""

    method: Method
    training: Training
    classes: ClassText
    key: tuple[object, ...]


class Outcome(NamedTuple):
    """What came of a piece of work: mean losses of an epoch, or rows (fits, classes, ...); its share of the time taken."""

    value: Any
    seconds: float
    at_once: int  # pieces that were computed together

    @property
    def checked(self) -> Any:
        """The value. Raises the error if there is one instead."""
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


Work = Trainer | Fitting
Steps = Generator[Sequence[Work], Sequence[Outcome], Result]


@dataclass(eq=False)
class _Run(Generic[Key, Result]):
    key: Key
    steps: Steps[Result]
    works: Sequence[Work] = ()
    outcomes: dict[int, Outcome] = field(default_factory=dict)


class Lockstep:
    """Computes runs, at most `width` at once; how many fit the memory is found out. `forced`: also where that does not pay."""

    def __init__(self, width: int, forced: bool, compile_: str) -> None:
        self.width = width
        self.forced = forced
        self.compile = compile_
        self.loops: dict[tuple[int, ...], Loop] = {}
        self.fresh: dict[tuple[int, ...], list[dict[str, Any]]] = {}  # states from before the first epoch of a stack
        self.verdicts: dict[tuple[object, ...], str] = {}
        self.decided: dict[tuple[object, ...], bool] = {}
        self.short = False  # whether the memory was once full: then one loop is kept at a time

    def results(self, runs: Mapping[Key, Steps[Result]]) -> Iterator[tuple[Key, Result | Exception]]:
        """Every run's result or error, as each ends. The first goes on until it ends, and takes along whatever is alike."""
        waiting = [_Run(key, steps) for key, steps in runs.items()]
        started: list[_Run[Key, Result]] = []
        try:
            while waiting or started:
                while waiting and len(started) < self._room(started):
                    started.append(waiting.pop(0))
                    yield from self._advance(started[-1], started, None)
                if started:
                    self._compute(started)
                for run in [run for run in started if len(run.outcomes) == len(run.works)]:
                    yield from self._advance(run, started, [run.outcomes[place] for place in range(len(run.works))])
        finally:
            for steps in runs.values():
                steps.close()

    def _room(self, started: Sequence[_Run[Key, Result]]) -> int:
        """How many runs may be under way: a first that takes none along is alone."""
        return self.width if not started or self._pays(started[0].works[0]) else 1

    def _pays(self, work: Work) -> bool:
        """Whether company makes a piece of work faster."""
        if self.forced or _device(work).type == "cuda":
            return True
        if not isinstance(work, Trainer) or work.data.clips.temporal:
            return False
        size = work.method.settings.batch_size * sum(part.numel() for part in work.method.parameters())
        return bool(size <= SMALL_STEP)

    def _advance(
        self, run: _Run[Key, Result], started: list[_Run[Key, Result]], outcomes: Sequence[Outcome] | None
    ) -> Iterator[tuple[Key, Result | Exception]]:
        try:
            run.works, run.outcomes = next(run.steps) if outcomes is None else run.steps.send(outcomes), {}
        except StopIteration as done:
            started.remove(run)
            yield run.key, done.value
        except Exception as error:
            started.remove(run)
            yield run.key, error

    def _compute(self, started: Sequence[_Run[Key, Result]]) -> None:
        """What the first run waits for, with all that others wait for and that is alike."""
        self._forget({id(work) for run in started for work in run.works})
        open_ = [(run, place) for run in started for place in range(len(run.works)) if place not in run.outcomes]
        first = open_[0][0]
        groups: list[list[tuple[_Run[Key, Result], int]]] = []
        for run, place in open_:
            work = run.works[place]
            fitting = (g for g in groups if len(g) < self.width and self._alike(g[0][0].works[g[0][1]], work))
            group = next(fitting, None)
            if group is not None:
                group.append((run, place))
            elif run is first:
                groups.append([(run, place)])
        for group in groups:
            works = [run.works[place] for run, place in group]
            for (run, place), outcome in zip(group, self._outcomes(works), strict=True):
                run.outcomes[place] = outcome

    def _outcomes(self, works: Sequence[Any]) -> list[Outcome]:
        start, failure = time.perf_counter(), None
        try:
            values = self._fits(works) if isinstance(works[0], Fitting) else self._epochs(works)
        except Exception as error:
            values, failure = [error] * len(works), error
        if failure and self._can_begin_again(works):
            del values
            return self._fewer(works, failure.with_traceback(None))  # whose frames hold the memory that is wanted
        wait_for(_device(works[0]))
        share = (time.perf_counter() - start) / len(works)
        return [Outcome(value, share, len(works)) for value in values]

    def _can_begin_again(self, works: Sequence[Any]) -> bool:
        return len(works) > 1 and (isinstance(works[0], Fitting) or _ids(works) in self.fresh)

    def _fewer(self, works: Sequence[Any], error: Exception) -> list[Outcome]:
        """The same from where it began, with fewer at once from now on: half of what did not fit the memory, else one."""
        full = isinstance(error, torch.OutOfMemoryError)
        self.width = len(works) // 2 if full else 1
        self.short = self.short or full
        said = "do not fit the memory of the device" if full else f"cannot be computed together ({error})"
        log.warning("warning: %d runs at once %s; going on with %d", len(works), said, self.width)
        if isinstance(works[0], Trainer):
            fresh = self.fresh.pop(_ids(works))
            if _ids(works) in self.loops:  # or the memory was full before it was made
                self._drop(_ids(works))
            for trainer, state in zip(works, fresh, strict=True):
                trainer.load_state_dict(state)
        if full:
            torch.cuda.empty_cache()
        parts = [works[first : first + self.width] for first in range(0, len(works), self.width)]
        return [outcome for part in parts for outcome in self._outcomes(part)]

    def _epochs(self, trainers: Sequence[Trainer]) -> list[Any]:
        key = _ids(trainers)
        if key not in self.loops:
            self._compiled(trainers[0])
            for old in [old for old in self.loops if self.short or set(old) & set(key)]:
                self._drop(old)
            if len(trainers) > 1:
                self.fresh[key] = [trainer.state_dict() for trainer in trainers]
            self.loops[key] = Loop(trainers)
        losses = self.loops[key].epoch()
        self.fresh.pop(key, None)
        return losses

    def _compiled(self, trainer: Trainer) -> bool:
        """Whether the trainer's steps are compiled: decided for a method and its settings before the first of them."""
        if trainer.compiled is None:
            key = (type(trainer.method), trainer.method.settings.model_dump_json())
            if key not in self.decided:
                self.decided[key] = compiling.pays(trainer) if self.compile == "auto" else self.compile == "on"
            trainer.compiled = self.decided[key]
        return trainer.compiled

    def _forget(self, asked: set[int]) -> None:
        """Drop the loops of trainers that nobody asks for, with the clips that they hold."""
        for key in [key for key in self.loops if not asked.issuperset(key)]:
            self._drop(key)

    def _drop(self, key: tuple[int, ...]) -> None:
        loop = self.loops.pop(key)
        if loop.stack:
            loop.stack.release()

    def _fits(self, fittings: Sequence[Fitting]) -> list[Any]:
        first = fittings[0]
        if len(fittings) == 1:
            return [scoring.prepare(first.method, first.training, first.classes, *first.key)]
        methods, keys = [fit.method for fit in fittings], [fit.key for fit in fittings]
        return list(stacking.prepare(methods, keys, first.training, first.classes))

    def _alike(self, one: Work, other: Work) -> bool:
        if isinstance(one, Trainer) and isinstance(other, Trainer):
            same = one.data is other.data and one.classes is other.classes
            if not same or one.autocast != other.autocast or self._compiled(one) or self._compiled(other):
                return False  # a compiled step is fastest alone
            return self._pays(one) and stacking.alike(one.method, other.method) and not self._verdict(one, other)
        if isinstance(one, Fitting) and isinstance(other, Fitting):
            # what could be trained together can be fitted together, if `prepare` is written for it
            same = one.classes is other.classes and one.training.classes is other.training.classes
            return same and self._pays(one) and one.method.fits_stacked and one.method.settings == other.method.settings
        return False

    def _verdict(self, one: Trainer, other: Trainer) -> str:
        """What stacking would change, found out once for a kind of method and for the settings that differ."""
        key = (type(one.method), *stacking.differing([one.method, other.method]))
        if key not in self.verdicts:
            methods = [
                build(type(t.method), t.method.settings, t.method.shapes, _device(t), "check", i)
                for i, t in enumerate((one, other))
            ]
            said = stacking.check(methods, [_sample(one, 0), _sample(other, 1)], one.classes)
            self.verdicts[key] = said
            if said:
                log.warning("note: %s is trained one run at a time: %s", type(one.method).__name__, said)
                self.width = 1
        return self.verdicts[key]


def _ids(works: Sequence[Any]) -> tuple[int, ...]:
    return tuple(id(work) for work in works)


def _device(work: Work) -> torch.device:
    return work.data.label.device if isinstance(work, Trainer) else work.classes.vectors.device


def _sample(trainer: Trainer, number: int) -> Batch:
    """A few training clips."""
    data, method = trainer.data, trainer.method
    key = torch.tensor(number, dtype=torch.int32, device=_device(trainer))
    chosen, others = draw(data, CHECKED, key)
    if not data.clips.temporal:
        return batch_of(data, chosen, others if "negatives" in method.needs else None)
    limits = Limits(method.settings.training_audio_tokens, method.settings.training_video_tokens)
    return data.clips.batch(chosen.cpu(), limits, None, method.packed)._replace(label=data.label[chosen])

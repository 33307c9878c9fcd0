"""Whether `torch.compile` pays: decided by a trial before a run's first step, and kept with the run."""

import logging
import time
from collections.abc import Callable

import torch

from avgzsl_bench.recording import WARM_UP, wait_for
from avgzsl_bench.training import Loop, Trainer, build

log = logging.getLogger(__name__)

# Compiling takes one to three minutes and saves a fraction of a step, so it is tried only where the run is long
WORTH_SECONDS = 1800.0  # that the steps of stage 1 would take without it
GAIN = 0.9  # the compiled step must take at most this share of the plain one
FEWEST_ROUNDS = 2000  # a shorter run is not even tried
ROUNDS = WARM_UP + 3  # timed of each, after one that is not; on a GPU the last are replays


def pays(trainer: Trainer) -> bool:
    """Whether a run like this is to be compiled. Rule: its steps take half an hour, and compiled ones a tenth less.

    Never under deterministic algorithms: what a stopwatch decides would be left to chance. A copy is tried, so that the
    trainer itself is not touched.
    """
    settings = trainer.method.settings
    rounds = settings.epochs * settings.batches_per_epoch
    if rounds < FEWEST_ROUNDS or torch.are_deterministic_algorithms_enabled():
        return False
    plain = _seconds(trainer, compiled=False)
    if plain * rounds < WORTH_SECONDS:
        return False
    try:
        compiled = _seconds(trainer, compiled=True)
    except Exception as error:  # no compiler here, or code that it does not take: the plain step does the same
        log.info("torch.compile cannot be used here: %s", str(error).strip().partition("\n")[0])
        return False
    log.info("a step takes %.3g ms, compiled %.3g ms", 1e3 * plain, 1e3 * compiled)
    return compiled <= GAIN * plain


def _seconds(trainer: Trainer, compiled: bool) -> float:
    """The shortest step of a copy."""
    own, device = trainer.method, trainer.data.label.device
    few = own.settings.model_copy(update={"batches_per_epoch": ROUNDS + 1})
    copy = Trainer(build(type(own), few, own.shapes, device, "trial"), trainer.data, trainer.classes, 0, 1, trainer.autocast)
    copy.method.to(next(own.parameters()).dtype)
    copy.compiled = compiled
    loop = Loop((copy,))
    times: list[float] = []
    loop.round = _timed(loop.round, device, times)
    loop.epoch()
    return min(times[1:])


def _timed(step: Callable[[], None], device: torch.device, times: list[float]) -> Callable[[], None]:
    def timed() -> None:
        start = time.perf_counter()
        step()
        wait_for(device)
        times.append(time.perf_counter() - start)

    return timed

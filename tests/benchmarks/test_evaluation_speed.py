"""What the exact sweep costs, as a ratio to a single evaluation of the same clips."""

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
import torch

from avgzsl_bench.calibration import ausuc, best_bias, sweep
from avgzsl_bench.metrics import Decisions, at_bias, decide, zero_shot

SIZES = {"ucf": (555 + 1267, 42, 9), "vggsound": (9032 + 3450, 207, 69)}  # clips of the test split, seen, unseen classes


def problem(clips: int, seen: int, unseen: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Synthetic embeddings (64 wide) of clips around their classes, and each clip's class."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(seen + unseen, 64, generator=generator)
    label = torch.arange(clips) % (seen + unseen)
    return text[label] + 2 * torch.randn(clips, 64, generator=generator), text, label


def seconds(work: Callable[[], Any]) -> float:
    work()
    times = []
    for _ in range(15):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


@pytest.mark.parametrize("dataset", SIZES)
def test_exact_sweep_against_a_single_evaluation(benchmark, capsys, dataset):
    clips, seen, unseen = SIZES[dataset]
    embedded, text, label = problem(clips, seen, unseen)
    ids, is_seen = list(range(seen + unseen)), torch.arange(seen + unseen) < seen
    seen_ids, unseen_ids = ids[:seen], ids[seen:]

    def evaluate(bias: float = 0.5) -> Decisions:
        decisions = decide(-torch.cdist(embedded, text), label, ids, is_seen, "corrected")
        at_bias(decisions, bias, seen_ids, unseen_ids, "corrected")
        zero_shot(decisions, unseen_ids)
        return decisions

    def evaluate_every_bias() -> None:
        decisions = decide(-torch.cdist(embedded, text), label, ids, is_seen, "corrected")
        curve = sweep(decisions, seen_ids, unseen_ids)
        bias, _ = best_bias(curve)
        ausuc(curve)
        at_bias(decisions, bias, seen_ids, unseen_ids, "corrected")
        zero_shot(decisions, unseen_ids)

    single = seconds(evaluate)
    ratio = seconds(evaluate_every_bias) / single
    benchmark.extra_info["ratio"] = ratio
    benchmark(evaluate_every_bias)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{dataset}: {clips} clips, exact sweep and metrics cost {ratio:.2f} times one evaluation ({1e3 * single:.1f} ms)\n"
        )

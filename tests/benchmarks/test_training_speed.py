"""What an epoch of AVCA costs at UCF's main sizes, as a ratio to its bare forward, backward and optimiser steps."""

import time
from statistics import median

import numpy as np
import torch

from avgzsl_bench import training
from avgzsl_bench.contracts import ClassText, Clips, Shapes
from avgzsl_bench.layers import key_of, reseed
from avgzsl_bench.methods.avca import MEMBER as AVCA

CLIPS, CLASSES, WIDTH, TEXT = 3174, 30, 512, 300  # stage 1 of UCF, SeLaVi features, word2vec
BATCHES, PAIRS = 12, 7


def trainer() -> training.Trainer:
    """AVCA on synthetic clips of UCF's sizes."""
    rng = np.random.default_rng(0)
    features = [np.abs(rng.standard_normal((CLIPS, WIDTH))).astype(np.float32) for _ in range(2)]
    clips = Clips(*features, np.sort(rng.integers(0, CLASSES, CLIPS)), ())
    settings = AVCA.Settings(batches_per_epoch=BATCHES, batch_size=256)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method = training.build(AVCA, settings, Shapes(WIDTH, WIDTH, TEXT, CLASSES), device, 0)
    text = torch.nn.functional.normalize(torch.randn(CLASSES, 1, TEXT, generator=torch.Generator().manual_seed(0)), dim=-1)
    return training.Trainer(method, training.pool(clips, range(CLASSES), device), ClassText(text.to(device)), 0, 1)


def bare(loop: training.Trainer) -> float:
    """The same batches, already gathered, through the same forward, backward and optimiser steps: seconds."""
    method, settings = loop.method, loop.method.settings
    key = torch.tensor(key_of("bare"), dtype=torch.int32, device=loop.data.label.device)
    index, negative = training.draw(loop.data, BATCHES * settings.batch_size, key)
    parts = zip(index.split(settings.batch_size), negative.split(settings.batch_size), strict=True)
    batches = [training.batch_of(loop.data, i, j) for i, j in parts]
    optimiser = loop.optimisers["all"]
    reseed(method, 0)
    method.train()
    start = time.perf_counter()
    for batch in batches:
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(method(batch, loop.classes).values())).sum().backward()
        optimiser.step()
    return time.perf_counter() - start


def test_avca_epoch_against_its_bare_steps(benchmark, capsys):
    loop = trainer()
    loop.epoch(), bare(loop)
    ratios = []
    for _ in range(PAIRS):
        floor = bare(loop)
        start = time.perf_counter()
        loop.epoch()
        ratios.append((time.perf_counter() - start) / floor)
    benchmark.extra_info["ratio"] = median(ratios)
    benchmark.pedantic(loop.epoch, rounds=1)
    with capsys.disabled():
        low, high = min(ratios), max(ratios)
        print(f"\nAVCA epoch / bare steps, UCF main sizes, batch 256: {median(ratios):.3f} (of {PAIRS}: {low:.3f} to {high:.3f})")

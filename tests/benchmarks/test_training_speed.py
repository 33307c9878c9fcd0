"""What an epoch of every method costs at its published UCF sizes, as a ratio to its bare steps on the same tensors."""

import time
from statistics import median

import numpy as np
import pytest
import torch

from avgzsl_bench import batches, config, datasets, plugins, published, training
from avgzsl_bench.contracts import ClassText, Clips, Shapes, Tokens, TrainingSettings
from avgzsl_bench.layers import key_of, reseed

CLIPS, CLASSES = 3174, 30  # stage 1 of UCF
PLACES = (("selavi", "main"), ("c3d_vggish", "cls"), ("clip_clap", "cls"))
TEXT = {"clip_clap": 1536}  # widths of the class text; word2vec elsewhere
PAIRS = 7
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TRAINED = [
    name
    for name in plugins.names("methods")
    if issubclass(plugins.load("methods", name).Settings, TrainingSettings) and not plugins.load("methods", name).floor
]


def sequences(rng: np.random.Generator, dim: int, seconds: float) -> Tokens:
    """Clips of 1 to 20 seconds, 7 in the mean, as UCF's are."""
    lengths = np.maximum(1, np.clip(rng.gamma(3.0, 7 / 3, CLIPS), 1, 20) / seconds).astype(np.int64)
    rows = rng.standard_normal((int(lengths.max()), dim)).astype(np.float32)
    # every clip reads the same rows: what is measured is the copying, not the memory
    return Tokens((rows,), np.zeros(CLIPS, np.int64), np.zeros(CLIPS, np.int64), lengths)


def trainer(name: str) -> training.Trainer:
    """A method by its recipe on synthetic clips of UCF's sizes, with few steps an epoch."""
    kind, data = plugins.load("methods", name), datasets.get("ucf")
    stated = [place for place in PLACES if published.recipe_for(name, "ucf", *place, "paper")]
    features, split = (stated or PLACES)[0]
    (chosen,) = config.resolve(name, "ucf", features=features, split=split)
    sizes = data.features[chosen.features]
    rng = np.random.default_rng(0)
    if "temporal" in kind.needs:
        parts = [sequences(rng, getattr(sizes, name), sizes.seconds[name]) for name in ("audio", "video")]
    else:
        parts = [np.abs(rng.standard_normal((CLIPS, dim))).astype(np.float32) for dim in (sizes.audio, sizes.video)]
    clips = Clips(*parts, np.sort(rng.integers(0, CLASSES, CLIPS)), ())
    settings = kind.Settings(**{**chosen.settings, "batches_per_epoch": 12})
    width = TEXT.get(chosen.features, 300)
    method = training.build(kind, settings, Shapes(sizes.audio, sizes.video, width, CLASSES), DEVICE, 0)
    text = torch.nn.functional.normalize(torch.randn(CLASSES, 1, width, generator=torch.Generator().manual_seed(0)), dim=-1)
    pool = batches.pool(clips, range(CLASSES), DEVICE, sizes.seconds)
    return training.Trainer(method, pool, ClassText(text.to(DEVICE)), 0, 1)


def waited() -> float:
    """The time, once the device has done what it was given."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def bare(loop: training.Trainer) -> float:
    """The batches of an epoch, already gathered, through the same forward, backward and optimiser steps: seconds."""
    method = loop.method
    batches = list(loop._batches())
    reseed(method, key_of("bare"))
    method.train()
    start = waited()
    place = 0
    for _ in range(method.settings.batches_per_epoch):
        for number, turn in enumerate(method.turns):
            place += bool(number) and method.own_batches
            terms = method(batches[place], loop.classes, turn)
            if terms:
                method.zero_grad(set_to_none=True)
                torch.stack(list(terms.values())).sum().backward()
                loop.optimisers[turn].step()
        place += 1
    return waited() - start


def epoch(loop: training.Trainer) -> float:
    """Seconds of an epoch."""
    start = waited()
    loop.epoch()
    return waited() - start


@pytest.mark.parametrize("name", TRAINED)
def test_epoch_against_its_bare_steps(name, benchmark, capsys):
    loop = trainer(name)
    first = epoch(loop)
    bare(loop)
    pairs = PAIRS if first < 10 else 3
    ratios, floors = [], []
    for _ in range(pairs):
        floors.append(bare(loop))
        ratios.append(epoch(loop) / floors[-1])
    benchmark.extra_info["ratio"] = median(ratios)
    benchmark.pedantic(loop.epoch, rounds=1)
    with capsys.disabled():
        settings = loop.method.settings
        step = 1e3 * median(floors) / settings.batches_per_epoch
        said = f"{median(ratios):.3f} (of {pairs}: {min(ratios):.3f} to {max(ratios):.3f}), bare step {step:.1f} ms"
        print(f"\n{name}: epoch / bare steps, UCF sizes, batch {settings.batch_size}: {said}")

"""TCaF at UCF's sizes beside a plain dense module of the same sizes, on one thread: its step, and its epoch with evaluation."""

import time
from statistics import median
from typing import NamedTuple

import numpy as np
import pytest
import torch
from plain_tcaf import PlainTcaf
from test_training_speed import DEVICE, bare, epoch, waited
from torch.nn import functional as F

from avgzsl_bench import batches, calibration, datasets, metrics, published, scoring, training
from avgzsl_bench.contracts import ClassText, Clips, Shapes, Tokens
from avgzsl_bench.methods.tcaf import Tcaf

TRAINED, VALIDATED = 30, 42  # classes in stage 1 of UCF
TEXT = 300
CLIPS = 800  # of 3174, to keep the files small; a batch reads as much
VALIDATION = 1820  # clips
STEPS, PAIRS = 4, 5


class Setting(NamedTuple):
    loop: training.Trainer
    plain: PlainTcaf
    validation: batches.Held


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def mapped(path, seconds, period, dim, dtype) -> Tokens:
    """A modality of clips of these lengths in a file of its own."""
    length = np.maximum(1, seconds // period).astype(np.int64)
    rows = np.lib.format.open_memmap(path, "w+", dtype, (int(length.sum()), dim))
    rng = np.random.default_rng(0)
    for part in np.array_split(rows, 8):
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    rows.flush()
    return Tokens.flat(np.load(path, mmap_mode="c"), np.cumsum([0, *length]))


@pytest.fixture(scope="module", params=[("selavi", "main"), ("c3d_vggish", "cls")], ids=["main", "cls"])
def setting(request, tmp_path_factory) -> Setting:
    """TCaF by its recipe on clips as long as UCF's: 1 to 20 seconds, 7 in the mean."""
    features, split = request.param
    sizes, folder = datasets.get("ucf").features[features], tmp_path_factory.mktemp(split)
    seconds = np.clip(np.random.default_rng(0).gamma(3.0, 7 / 3, CLIPS), 1, 20)
    kind = np.uint8 if features == "c3d_vggish" else np.float32
    audio = mapped(folder / "audio.npy", seconds, sizes.seconds["audio"], sizes.audio, kind)
    video = mapped(folder / "video.npy", seconds, sizes.seconds["video"], sizes.video, np.float32)
    recipe = published.recipe_for("tcaf", "ucf", features, split, "paper")
    settings = Tcaf.Settings(**{**recipe.settings, "batches_per_epoch": STEPS})
    shapes = Shapes(sizes.audio, sizes.video, TEXT, TRAINED)
    method = training.build(Tcaf, settings, shapes, DEVICE, 0)
    data = batches.pool(Clips(audio, video, np.arange(CLIPS) % TRAINED, ()), range(TRAINED), DEVICE, sizes.seconds)
    again = np.resize(np.arange(CLIPS), VALIDATION)
    validation = batches.hold(Clips(audio[again], video[again], again, ()), DEVICE, sizes.seconds)
    loop = training.Trainer(method, data, text(TRAINED), 0, 1)
    return Setting(loop, PlainTcaf(settings, shapes).to(DEVICE), validation)


def text(classes) -> ClassText:
    vectors = torch.randn(classes, 1, TEXT, generator=torch.Generator().manual_seed(0))
    seen = torch.arange(classes, device=DEVICE) < TRAINED
    return ClassText(F.normalize(vectors, dim=2).to(DEVICE), seen)


def padded(loop) -> list:
    """Batches of as many clips as an epoch's, a clip a row."""
    settings, data = loop.method.settings, loop.data
    key = torch.tensor(0, dtype=torch.int32, device=DEVICE)
    chosen, _ = batches.draw(data, STEPS * settings.batch_size, key)
    return [data.clips.batch(index.cpu())._replace(label=data.label[index]) for index in chosen.split(settings.batch_size)]


def plain_steps(plain, adam, batches, classes) -> float:
    start = waited()
    for batch in batches:
        adam.zero_grad()
        plain(batch, classes).backward()
        adam.step()
    return waited() - start


def evaluation(loop, validation) -> float:
    """Seconds of scoring validation and sweeping the seen bias."""
    classes, label = text(VALIDATED), np.arange(VALIDATION) % VALIDATED
    start = waited()
    (rows,) = scoring.prepare(loop.method, batches.everything(loop.data, classes), classes, 0)
    scores = scoring.score(loop.method, validation, rows, 0)
    ids = list(range(VALIDATED))
    decisions = metrics.decide(scores, torch.from_numpy(label), ids, classes.seen, "corrected")
    calibration.best_bias(calibration.sweep(decisions, ids[:TRAINED], ids[TRAINED:]))
    return waited() - start


def gathering(loop) -> float:
    start = time.perf_counter()
    list(loop.sequences())
    return time.perf_counter() - start


def filled(batch) -> str:
    real = torch.cat([batch.audio_mask, batch.video_mask], 1)
    return f"{tuple(real.shape)} of which {real.float().mean():.0%} are real"


def spread(values) -> str:
    return f"{median(values):.3f} (of {len(values)}: {min(values):.3f} to {max(values):.3f})"


def test_step_and_epoch_beside_a_plain_module(setting, request, benchmark, capsys):
    loop, plain, validation = setting
    adam = torch.optim.Adam(plain.parameters(), lr=1e-4, weight_decay=1e-5)
    batches, whole = padded(loop), published.recipe_for("tcaf", "ucf", "selavi", "main", "paper").settings["batches_per_epoch"]
    plain_steps(plain, adam, batches[:1], loop.classes), epoch(loop)
    steps, epochs, shares, floors, exams = [], [], [], [], []
    for _ in range(PAIRS):
        floors.append(plain_steps(plain, adam, batches, loop.classes) / STEPS)
        steps.append(bare(loop) / STEPS / floors[-1])
        ours = epoch(loop) / STEPS
        exams.append(evaluation(loop, validation))
        epochs.append((whole * ours + exams[-1]) / (whole * floors[-1]))
        shares.append(gathering(loop) / STEPS / ours)
    benchmark.extra_info.update(step=median(steps), epoch=median(epochs), collation=median(shares))
    benchmark.pedantic(loop.epoch, rounds=1)
    layouts = ", packed ".join(filled(batch) for batch in (batches[0], next(loop.sequences())))
    with capsys.disabled():
        where = f"{DEVICE}, {torch.get_num_threads()} thread"
        print(f"\nTCaF, UCF {request.node.callspec.id} sizes, batch 64, {where}: plain step {1e3 * median(floors):.0f} ms")
        print(f"  rows and tokens: {layouts}")
        print(f"  step / plain step: {spread(steps)}")
        print(f"  epoch of {whole} steps and an evaluation ({median(exams):.1f} s) / {whole} plain steps: {spread(epochs)}")
        print(f"  collation / step: {spread(shares)}")

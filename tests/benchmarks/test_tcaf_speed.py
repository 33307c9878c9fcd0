"""What a training step of TCaF costs at UCF's cls sizes: the share of collation, and the whole beside its bare steps."""

from statistics import median

import numpy as np
import pytest
import torch
from test_training_speed import DEVICE, bare, epoch, waited
from torch.nn import functional as F

from avgzsl_bench import batches, published, training
from avgzsl_bench.contracts import ClassText, Clips, Shapes, Tokens
from avgzsl_bench.methods.tcaf import Tcaf

AUDIO, VIDEO, TEXT, CLASSES = 128, 4096, 300, 30  # stage 1 of UCF, c3d_vggish, word2vec
SECONDS = {"audio": 0.96, "video": 0.64}
CLIPS = 800  # of 3174, to keep the files small; a batch reads as much
STEPS, PAIRS = 4, 5


def mapped(path, seconds, period, dim, dtype) -> Tokens:
    """A modality of clips of these lengths in a file of its own."""
    length = np.maximum(1, seconds // period).astype(np.int64)
    rows = np.lib.format.open_memmap(path, "w+", dtype, (int(length.sum()), dim))
    rng = np.random.default_rng(0)
    for part in np.array_split(rows, 8):
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    rows.flush()
    return Tokens.flat(np.load(path, mmap_mode="c"), np.cumsum([0, *length]))


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> training.Trainer:
    """TCaF by its recipe on clips as long as UCF's: 1 to 20 seconds, 7 in the mean."""
    folder, rng = tmp_path_factory.mktemp("sequences"), np.random.default_rng(0)
    seconds = np.clip(rng.gamma(3.0, 7 / 3, CLIPS), 1, 20)
    audio = mapped(folder / "audio.npy", seconds, SECONDS["audio"], AUDIO, np.uint8)
    video = mapped(folder / "video.npy", seconds, SECONDS["video"], VIDEO, np.float32)
    clips = Clips(audio, video, np.arange(CLIPS) % CLASSES, ())
    recipe = published.recipe_for("tcaf", "ucf", "c3d_vggish", "cls", "paper")
    settings = Tcaf.Settings(**{**recipe.settings, "batches_per_epoch": STEPS})
    method = training.build(Tcaf, settings, Shapes(AUDIO, VIDEO, TEXT, CLASSES), DEVICE, 0)
    text = F.normalize(torch.randn(CLASSES, 1, TEXT, generator=torch.Generator().manual_seed(0)), dim=2)
    data = batches.pool(clips, range(CLASSES), DEVICE, SECONDS)
    return training.Trainer(method, data, ClassText(text.to(DEVICE)), 0, 1)


def collated(loop) -> tuple[list, float]:
    """The batches of an epoch, and the seconds of gathering them."""
    start = waited()
    batches = list(loop._batches())
    return batches, waited() - start


def test_collation_and_epoch_against_the_bare_steps(loop, benchmark, capsys):
    epoch(loop)
    shares, ratios, steps = [], [], []
    for _ in range(PAIRS):
        batches, gathering = collated(loop)
        floor, whole = bare(loop), epoch(loop)
        shares.append(gathering / whole)
        ratios.append(whole / floor)
        steps.append(1e3 * whole / STEPS)
    benchmark.extra_info.update(collation=median(shares), ratio=median(ratios))
    benchmark.pedantic(loop.epoch, rounds=1)
    audio, video = batches[0].audio_mask, batches[0].video_mask
    sizes = f"{audio.shape[1]} + {video.shape[1]} tokens, of which {torch.cat([audio, video], 1).float().mean():.0%} are real"
    with capsys.disabled():
        print(f"\nTCaF, UCF cls sizes, batch 64, {sizes}, on {DEVICE}: step {median(steps):.0f} ms")
        print(f"  collation / step: {median(shares):.2%} (of {PAIRS}: {min(shares):.2%} to {max(shares):.2%})")
        print(f"  epoch / bare steps: {median(ratios):.3f} (of {PAIRS}: {min(ratios):.3f} to {max(ratios):.3f})")

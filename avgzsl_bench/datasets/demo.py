"""A small synthetic data set made on the fly: compositional classes, of which audio carries one half and video the other.

A class is a colour, an object, a motion and a sound, as in "red dog spinning while barking". Audio carries motion and
sound, video colour and object, so neither modality tells the classes apart alone. Everything is drawn from fixed seeds.
"""

import hashlib
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import features as store
from avgzsl_bench.clips import SUBSETS, ClassInfo, Clips, Dataset, FeatureSet, Role, Splits
from avgzsl_bench.datasets._codes import DIM, text_vector

COLOURS = ("red", "green", "blue", "yellow")
OBJECTS = ("dog", "robot", "engine", "drum", "bird")
MOTIONS = ("spinning", "jumping", "rolling", "falling")
SOUNDS = ("barking", "ringing", "hissing", "clapping", "whistling")
ROLES: tuple[tuple[Role, int], ...] = (("train", 36), ("validation_unseen", 12), ("test_unseen", 20))
CLIPS: dict[tuple[str, Role], int] = {
    ("train", "train"): 14,
    ("validation_seen", "train"): 5,
    ("test_seen", "train"): 5,
    ("validation_unseen", "validation_unseen"): 18,
    ("test_seen", "validation_unseen"): 6,
    ("test_unseen", "test_unseen"): 24,
}
NOISE = {"mapped": 3.0, "shared": 5.0, "temporal": 3.0}  # length of what is peculiar to a clip; a class has length one
OWN = 1.0  # length of what is peculiar to a class and stands in none of its words
TIME = 8  # tokens of a temporal clip


class Demo(Dataset):
    """The synthetic data set that needs no download. Its difficulty is fixed: changing it raises the revision."""

    name = "demo"
    revision = "1"
    licence = "none needed: synthetic"
    citation = "Synthetic clips made by avgzsl-bench; no measurement of anything"
    synthetic = True
    encoder = "hashed"
    features: ClassVar[dict[str, FeatureSet]] = {
        "mapped": FeatureSet(64, 96),
        "shared": FeatureSet(DIM, DIM, spaces={"audio": "hashed", "video": "hashed"}),
        "temporal": FeatureSet(64, 96, temporal=True),
    }
    splits = ("main",)
    presets: ClassVar[dict[str, tuple[str, str]]] = {name: (name, "main") for name in features}

    def classes(self, split: str) -> tuple[ClassInfo, ...]:
        return _classes()

    def open(self, store: Path, features: str, split: str) -> Splits:
        return _open(features)


@cache
def _classes() -> tuple[ClassInfo, ...]:
    roles = [role for role, count in ROLES for _ in range(count)]
    words = list(product(COLOURS, OBJECTS, MOTIONS, SOUNDS))
    rng = np.random.default_rng(_seed("classes"))
    texts = ["{} {} {} while {}".format(*words[i]) for i in sorted(rng.choice(len(words), len(roles), replace=False))]
    return tuple(
        ClassInfo(text.replace(" ", "_"), text, roles[i]) for text, i in zip(texts, rng.permutation(len(roles)), strict=True)
    )


@cache
def _open(features: str) -> Splits:
    hashes = {name: store.subset_sha256(_make(features, name)) for name in SUBSETS}
    return Splits(_classes(), Demo.features[features], store.content_sha256(hashes), partial(_make, features), synthetic=True)


@cache
def _make(features: str, subset: str) -> Clips:
    label = np.repeat(np.arange(len(_classes())), [CLIPS.get((subset, info.role), 0) for info in _classes()])
    ids = tuple(f"demo-{c:02d}-{subset}-{i:04d}" for i, c in enumerate(label))
    made = Demo.features[features]
    parts = {m: _modality(features, m, subset, label, dim) for m, dim in (("audio", made.audio), ("video", made.video))}
    return Clips(parts["audio"], parts["video"], label, ids)


def _modality(features: str, modality: str, subset: str, label: NDArray[np.int64], dim: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(_seed(features, modality, subset))
    codes = np.stack([_code(features, modality, info.text_name, dim) for info in _classes()])
    noise = rng.standard_normal((len(label), dim)) * NOISE[features] / np.sqrt(dim)
    clips = codes[label] + noise  # (clips, dim)
    if not Demo.features[features].temporal:
        return np.asarray(clips, np.float32)
    # each token shows the clip more or less plainly, around the averaged clip
    plainness = rng.uniform(0.0, 2.0, (len(label), TIME, 1))
    tokens = plainness * clips[:, None] + rng.standard_normal((len(label), TIME, dim)) / np.sqrt(dim)
    return np.asarray(tokens, np.float32)  # (clips, time, dim)


def _code(features: str, modality: str, text: str, dim: int) -> NDArray[np.float64]:
    """What a modality carries of a class: in the text's own space, or a random linear map of its attributes (dim,)."""
    colour, thing, motion, _, sound = text.split()
    words = (motion, sound) if modality == "audio" else (colour, thing)
    peculiar = OWN * _gaussian("class", modality, text, dim=dim)
    if features == "shared":
        return text_vector(" ".join(words), dim) + peculiar
    attributes = [_gaussian("map", modality, word, dim=dim) for word in words]
    return np.asarray(np.sum(attributes, axis=0) / np.sqrt(2) + peculiar)


def _gaussian(*parts: str, dim: int) -> NDArray[np.float64]:
    """A vector (dim,) of about unit length, drawn for these words."""
    return np.asarray(np.random.default_rng(_seed(*parts)).standard_normal(dim) / np.sqrt(dim))


def _seed(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("/".join((*parts, Demo.revision)).encode()).digest()[:8], "little")


MEMBER = Demo

"""A small synthetic data set made on the fly: compositional classes, of which audio carries one half and video the other.

A class is a colour, an object, a motion and a sound, as in "red dog spinning while barking". Audio carries motion and
sound, video colour and object, so neither modality tells the classes apart alone. Everything is drawn from fixed seeds.
A temporal clip averages to the averaged one; its class shows around a moment that audio and video share.
"""

import hashlib
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import features as store
from avgzsl_bench.clips import SUBSETS, ClassInfo, Clips, Dataset, FeatureSet, Role, Splits, Tokens
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
NOISE = {"mapped": 3.0, "shared": 5.0}  # length of what is peculiar to a clip; a class has length one
OWN = 1.0  # length of what is peculiar to a class and stands in none of its words
SECONDS = (3.0, 5.5)  # bounds of a temporal clip's length
MOMENT = 0.8  # seconds from the moment of a temporal clip to where its class shows half as much
TOKEN = 1.0  # length of what is peculiar to a token


class Demo(Dataset):
    """The synthetic data set that needs no download. Its difficulty is fixed: changing it raises the revision."""

    name = "demo"
    revision = "1"
    licence = "none needed: synthetic"
    citation = "Synthetic clips made by avgzsl-bench; no measurement of anything"
    synthetic = True
    encoder = "hashed"
    features: ClassVar[dict[str, FeatureSet]] = {
        "mapped": FeatureSet(64, 96, seconds={"audio": 1.0, "video": 0.5}),
        "shared": FeatureSet(DIM, DIM, spaces={"audio": "hashed", "video": "hashed"}),
    }
    splits = ("main",)
    presets: ClassVar[dict[str, tuple[str, str]]] = {name: (name, "main") for name in features}

    def classes(self, split: str) -> tuple[ClassInfo, ...]:
        return _classes()

    def open(self, store: Path, features: str, split: str, temporal: bool = False) -> Splits:
        return _open(features, temporal)


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
def _open(features: str, temporal: bool) -> Splits:
    hashes = {name: store.subset_sha256(_make(features, temporal, name)) for name in SUBSETS}
    content, read = store.content_sha256(hashes), partial(_make, features, temporal)
    return Splits(_classes(), Demo.features[features], content, read, temporal=temporal, synthetic=True)


@cache
def _make(features: str, temporal: bool, subset: str) -> Clips:
    label = np.repeat(np.arange(len(_classes())), [CLIPS.get((subset, info.role), 0) for info in _classes()])
    ids = tuple(f"demo-{c:02d}-{subset}-{i:04d}" for i, c in enumerate(label))
    modality = _sequences if temporal else _averages
    return Clips(modality(features, "audio", subset, label), modality(features, "video", subset, label), label, ids)


def _averages(features: str, modality: str, subset: str, label: NDArray[np.int64]) -> NDArray[np.float32]:
    code, noise = _drawn(features, modality, subset, label)
    return np.asarray(code + noise, np.float32)  # (clips, dim)


def _drawn(features: str, modality: str, subset: str, label: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What shows the class of each clip, and what is peculiar to the clip: (clips, dim) each."""
    dim = getattr(Demo.features[features], modality)
    codes = np.stack([_code(features, modality, info.text_name, dim) for info in _classes()])
    rng = np.random.default_rng(_seed(features, modality, subset))
    return codes[label], rng.standard_normal((len(label), dim)) * NOISE[features] / np.sqrt(dim)


def _sequences(features: str, modality: str, subset: str, label: NDArray[np.int64]) -> Tokens:
    """Tokens that average to the clip; those near its moment show more of the class and less of the rest."""
    code, noise = _drawn(features, modality, subset, label)
    common = np.random.default_rng(_seed(features, "time", subset))  # the same for audio and video
    length = common.uniform(*SECONDS, len(label))
    moment = common.uniform(0.0, length)
    period = Demo.features[features].seconds[modality]
    offsets = np.concatenate([[0], np.cumsum(np.floor(length / period))]).astype(np.int64)  # (clips + 1,)
    clip = np.repeat(np.arange(len(label)), np.diff(offsets))  # (tokens,)
    time = (np.arange(len(clip)) - offsets[clip]) * period
    shown = _centred(1 / (1 + ((time - moment[clip]) / MOMENT) ** 2)[:, None], offsets)  # (tokens, 1)
    own = np.random.default_rng(_seed(features, modality, subset, "tokens")).standard_normal((len(clip), code.shape[1]))
    rest = _centred(own * TOKEN / np.sqrt(code.shape[1]), offsets)
    tokens = (1 + shown) * code[clip] + (1 - shown) * noise[clip] + rest
    return Tokens.flat(np.asarray(tokens, np.float32), offsets)


def _centred(tokens: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Tokens (tokens, dim) less the mean of their clip."""
    length = np.diff(offsets)[:, None]
    return np.asarray(tokens - np.repeat(np.add.reduceat(tokens, offsets[:-1]) / length, length[:, 0], axis=0))


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

"""Codes of words and texts that need no weights: the same word has the same vector everywhere."""

import hashlib
import re

import numpy as np
from numpy.typing import NDArray

DIM = 256


def word_vector(word: str, dim: int = DIM) -> NDArray[np.float64]:
    """A Gaussian vector (dim,) of about unit length that is a function of the lower-cased word."""
    seed = int.from_bytes(hashlib.sha256(word.lower().encode()).digest()[:8], "little")
    return np.asarray(np.random.default_rng(seed).standard_normal(dim) / np.sqrt(dim))


def text_vector(text: str, dim: int = DIM) -> NDArray[np.float64]:
    """The sum of a text's word vectors, scaled to length one: (dim,)."""
    words = re.findall(r"\w+", text.lower())
    total = np.sum([word_vector(word, dim) for word in words], axis=0)
    return np.asarray(total / np.linalg.norm(total))

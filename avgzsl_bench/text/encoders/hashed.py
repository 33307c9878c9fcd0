"""Text vectors without any weights: every word has a fixed random direction, so texts that share words are alike."""

import hashlib
import re

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError

DIM = 256


class Hashed(TextEncoder):
    """Sum of the word vectors of a text, scaled to length one."""

    licence = "MIT (no weights)"

    class Settings(TextEncoder.Settings):
        dim: int = Field(DIM, ge=1, le=65_536, description="Width of the vectors.")

    @property
    def revision(self) -> str:
        return "1"

    @property
    def space(self) -> str:
        return "hashed" if self.settings.dim == DIM else ""

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        return np.stack([text_vector(text, self.settings.dim) for text in texts]).astype(np.float32)

    def fetch(self) -> str:
        return "hashed needs no weights: use it as it is"


def word_vector(word: str, dim: int) -> NDArray[np.float64]:
    """A Gaussian vector of expected length one, seeded by the sha256 of the word in lower case."""
    seed = int.from_bytes(hashlib.sha256(word.lower().encode()).digest()[:8], "little")
    return np.asarray(np.random.default_rng(seed).standard_normal(dim) / np.sqrt(dim))


def text_vector(text: str, dim: int) -> NDArray[np.float64]:
    """The unit vector (dim,) of a text. Raises AvgzslError for one without a word."""
    words = re.findall(r"\w+", text.lower())
    if not words:
        raise AvgzslError(f"class text {text!r} holds no word to hash; give the class a name with letters or digits")
    total = np.sum([word_vector(word, dim) for word in words], axis=0)
    return np.asarray(total / np.linalg.norm(total))


MEMBER = Hashed

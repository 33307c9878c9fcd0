"""The files of a new plugin, as `avgzsl plugin new` writes them."""

import re
from pathlib import Path
from string import Template

from avgzsl_bench import plugins
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import whole_folder, write_whole

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "avgzsl-$dashed"
version = "0.1.0"
description = "The method $name for avgzsl-bench"
requires-python = ">=3.11"
dependencies = ["avgzsl-bench"]

[project.entry-points.avgzsl_bench]
$name = "avgzsl_$name"

[tool.hatch.build.targets.wheel]
packages = ["avgzsl_$name"]
"""

HOOKS = '''\
"""What this plugin registers. The target is a text, imported when used, so that `avgzsl --help` stays fast."""

from avgzsl_bench import hookimpl


@hookimpl
def register_methods(register):
    register("$name", "avgzsl_$name.method:$title")
'''

METHOD = '''\
"""$title: clips and class text meet in the space of the text."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings
from avgzsl_bench.layers import Dropout


class $title(Method):
    version = 1  # raise it when a change alters results

    class Settings(TrainingSettings):
        dropout: float = Field(0.1, ge=0, lt=1, description="Share of the features dropped in training.")
        temperature: float = Field(0.1, gt=0, description="What cosines are divided by to give logits.")

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.dropout = Dropout(settings.dropout)  # not nn.Dropout: a seed must give the same numbers everywhere
        self.map = nn.Linear(shapes.audio + shapes.video, shapes.text)

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        clips, texts = self.embed(batch, classes.vectors.mean(1))
        logits = clips @ texts.T / self.settings.temperature  # (clips, classes)
        return {"cross_entropy": F.cross_entropy(logits, batch.label)}

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        return classes.vectors.mean(1)  # (classes, dim): one row a candidate class

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        clips = self.map(self.dropout(torch.cat([batch.audio, batch.video], dim=1)))
        return F.normalize(clips, dim=1), F.normalize(rows, dim=1)
'''

TEST = '''\
"""Every check of `avgzsl plugin check $name`, one test each."""

import pytest


@pytest.mark.avgzsl("$name")
def test_conformance(avgzsl_check):
    avgzsl_check()
'''

FILES = {
    "pyproject.toml": PYPROJECT,
    "avgzsl_$name/__init__.py": HOOKS,
    "avgzsl_$name/method.py": METHOD,
    "tests/test_$name.py": TEST,
}


def write(name: str, parent: Path) -> Path:
    """Write the plugin's folder `avgzsl-NAME` into `parent` and return it.

    Raises AvgzslError for a name that cannot be one, a method that exists, and a folder that is there.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name, re.ASCII):
        raise AvgzslError(f"plugin name {name!r}: use lower-case letters, digits and _, a letter first, as in my_method")
    if name in plugins.names("methods"):
        owner = plugins.registry().members["methods"][name][0].distribution
        raise AvgzslError(f"there is a method {name!r} already ({owner}); choose another name")
    folder = parent / f"avgzsl-{name.replace('_', '-')}"
    if folder.exists():
        raise AvgzslError(f"{folder} is there already; choose another name, or another folder with --out")
    words = {"name": name, "dashed": name.replace("_", "-"), "title": name.title().replace("_", "")}
    with whole_folder(folder) as whole:
        for path, text in FILES.items():
            write_whole(whole / Template(path).substitute(words), Template(text).substitute(words))
    return folder

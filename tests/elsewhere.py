"""Weights as the authors' code leaves them, made by training our reference form for a moment and naming its state as theirs."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from avgzsl_bench import config, datasets, features, identity, layers, plugins, training
from avgzsl_bench.contracts import Method
from avgzsl_bench.datasets._codes import text_vector
from avgzsl_bench.protocols._exams import Examiner, Stage

SEED = 7  # another one than `evaluate` builds its methods with
QUICK = {"epochs": 1, "batches_per_epoch": 8, "batch_size": 64}


def store_vectors(dataset="demo", split="main", dim=48):
    """Synthetic word vectors in the place of the authors' ones."""
    names = [info.text_name for info in datasets.get(dataset).classes(split)]
    features.store_word_vectors(dataset, {name: text_vector(name, dim).astype(np.float32) for name in names})


class Trained(NamedTuple):
    """A method in memory, and what it was trained on."""

    method: Method
    stage: Stage
    examiner: Examiner


def train(name, number, dataset="demo", settings=None, **choices):
    """The weights of one stage, trained with the reference code's order of class texts and form."""
    choices = {"encoder": "word2vec", **choices}
    setting = config.resolve(name, dataset, rules="reference", settings=settings, **choices)[0]
    material = identity.Material(setting)
    device = torch.device("cpu")
    examiner = Examiner(material.splits, material.vectors, material.shared, "reference", device)
    stage = examiner.stage(number)
    kind = plugins.load("methods", name)
    built = examiner.build(kind, config.settings_of(name, kind, {**setting.settings, **QUICK}), stage, SEED)
    trainer = training.Trainer(built, stage.pool, stage.text, SEED, number)
    trainer.epoch()
    return Trained(built.eval(), stage, examiner)


def released(method):
    """The state of a method under the authors' names, with what their code holds besides."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "load_renamed", lambda module, state, prefixes, dead=(): told.append((prefixes, dead)))
        method.load_released({})
    ((prefixes, dead),) = told
    theirs = {ours: name for name, ours in prefixes.items()}
    state = {_renamed(name, theirs): value.clone() for name, value in method.state_dict().items()}
    return {**state, **{f"{prefix}weight": torch.ones(2) for prefix in dead}}


def _renamed(name, prefixes):
    best = max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default="")
    return prefixes.get(best, "") + name.removeprefix(best)


def write(path: Path, state, epoch=3, prefix="", **options):
    """A file as the authors' code saves it."""
    optimiser = {"state": {}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    model = {prefix + name: value for name, value in state.items()}
    torch.save({"epoch": epoch, "model": model, "optimizer": optimiser, "metric": "score"}, path, **options)
    return path


def train_nothing(name, dataset="demo"):
    """Of a method that takes no steps: gives (examiner, method, stage) of a stage number, as a run of seed 0 builds them."""
    material = identity.Material(config.resolve(name, dataset)[0])
    settings = config.settings_of(name, material.method, material.setting.settings)
    examiner = Examiner(material.splits, material.vectors, material.shared, "corrected", torch.device("cpu"))

    def built(number):
        stage = examiner.stage(number)
        return examiner, examiner.build(material.method, settings, stage, 0), stage

    return built

"""A method under test, beside the clips and class text of the synthetic data set `demo` as training and scoring give them."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from avgzsl_bench import config, datasets, plugins, training
from avgzsl_bench.contracts import Batch, ClassText, Clips, Method, Settings, Shapes, Splits, Training, TrainingSettings
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.identity import Material
from avgzsl_bench.layers import reseed
from avgzsl_bench.testing.kit import Skip

DATASET = "demo"
CPU = torch.device("cpu")
CLIPS = 24  # in the small batches
BUDGET = {"epochs": 5, "batches_per_epoch": 10, "batch_size": 64}  # enough to tell learning from chance, in seconds


class Subject:
    """A method in one form, with demo's clips and class text in the shapes that training and scoring give it."""

    def __init__(self, name: str, form: str | None = None) -> None:
        self.kind: type[Method] = plugins.load("methods", name)
        if "temporal" in self.kind.needs:
            raise Skip("needs temporal features, which the training loop does not read yet")
        self.name = name
        self._trained: dict[int, tuple[Method, list[dict[str, float]]]] = {}
        self.given: dict[str, Any] = dict(BUDGET) if issubclass(self.kind.Settings, TrainingSettings) else {}
        if form is not None:
            self.given["form"] = form
        self.data = datasets.get(DATASET)
        self._open(self._features())

    def _features(self) -> str:
        """The first averaged feature set that the method can be built for (one that shares a space with the text, if it must)."""
        refusals = []
        for preset, (features, _) in self.data.presets.items():
            if self.data.features[features].temporal:
                continue
            try:
                self._open(preset)
                self.build()
            except AvgzslError as error:
                refusals.append(str(error))
            else:
                return preset
        raise AssertionError(f"cannot be built for any averaged feature set of {DATASET}: {refusals[0]}")

    def _open(self, preset: str) -> None:
        run = config.resolve(self.name, DATASET, features=preset, settings=self.given)[0]
        material = Material(run)
        self.settings: Settings = self.kind.Settings(**run.settings)
        self.splits: Splits = material.splits
        self.shared = material.shared
        self.vectors = torch.from_numpy(material.vectors("cpu"))  # (classes, texts, dim) of the whole data set
        self.seen = self.splits.role_ids("train", "validation_unseen")
        self.unseen = self.splits.role_ids("test_unseen")

    @cached_property
    def pool(self) -> training.Pool:
        """Stage 2's training clips."""
        return training.pool(self.splits.load("train", "validation_seen", "validation_unseen"), self.seen, CPU)

    @cached_property
    def test_clips(self) -> Clips:
        """Clips of the unseen test classes."""
        with TemporaryDirectory() as folder:
            selection = Path(folder, "selection.json")
            selection.write_text('{"by": "the conformance kit, which selects nothing"}')
            clips = self.splits.unseal(selection)
        keep = np.isin(clips.label, self.unseen)
        return Clips(clips.audio[keep], clips.video[keep], clips.label[keep], ())

    @cached_property
    def classes(self) -> ClassText:
        """Class text in training."""
        return ClassText(self.vectors[self.seen])

    @property
    def training(self) -> Training:
        """What `prepare` is given."""
        return Training(Batch(label=self.pool.label, audio=self.pool.audio, video=self.pool.video), self.classes)

    @cached_property
    def batch(self) -> Batch:
        """A small training batch."""
        chosen, others = training.draw(self.pool, CLIPS, torch.tensor(0, dtype=torch.int32))
        return training.batch_of(self.pool, chosen, others if "negatives" in self.kind.needs else None)

    @property
    def clips(self) -> Batch:
        """A small batch to score: no labels."""
        return Batch(audio=self.batch.audio, video=self.batch.video)

    def candidates(self, unseen: list[int] | None = None) -> ClassText:
        """Seen and unseen classes by id; `unseen` gives another order of the unseen classes' texts."""
        ids = sorted(self.seen + self.unseen)
        place = dict(zip(self.unseen, self.unseen if unseen is None else unseen, strict=True))
        mask = torch.tensor([i not in place for i in ids])
        return ClassText(self.vectors[[place.get(i, i) for i in ids]], mask)

    def build(self, seed: int = 0) -> Method:
        """A fresh method, as the protocol builds it."""
        features = self.splits.features
        shapes = Shapes(features.audio, features.video, self.vectors.shape[2], len(self.seen), self.vectors.shape[1], self.shared)
        return training.build(self.kind, self.settings, shapes, CPU, seed)

    def train(self, seed: int, epochs: int) -> tuple[Method, list[dict[str, float]]]:
        """A method after some epochs, and the mean losses of each."""
        method = self.build(seed)
        if not method.turns:
            return method, []
        trainer = training.Trainer(method, self.pool, self.classes, seed, 2)
        return method, [trainer.epoch() for _ in range(epochs)]

    def trained(self, seed: int = 0) -> tuple[Method, list[dict[str, float]]]:
        """A method after all epochs, trained once."""
        if seed not in self._trained:
            self._trained[seed] = self.train(seed, getattr(self.settings, "epochs", 0))
        return self._trained[seed]

    @torch.no_grad()
    def prepare(self, method: Method, classes: ClassText) -> Tensor:
        """Rows of candidate classes, in evaluation mode and with one key."""
        reseed(method.eval(), "kit")
        return method.prepare(self.training, classes)

    @torch.no_grad()
    def scores(self, method: Method, rows: Tensor, clips: Batch | None = None) -> Tensor:
        """Scores (clips, classes) in evaluation mode and with one key."""
        reseed(method.eval(), "kit")
        return method.scores(clips or self.clips, rows)


def subjects(name: str) -> dict[str, Callable[[], Subject]]:
    """A method by the label of each of its forms."""
    field = plugins.load("methods", name).Settings.model_fields.get("form")
    forms = get_args(field.annotation) if field else ()
    others = {f"{name} ({form})": partial(Subject, name, form) for form in forms if form != field.default}
    return {name: partial(Subject, name), **others}

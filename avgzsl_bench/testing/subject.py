"""A method under test, beside the clips and class text of the synthetic data set `demo` as training and scoring give them."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avgzsl_bench import batches, config, datasets, plugins, scoring, training
from avgzsl_bench.contracts import ABSENT, Batch, ClassText, Clips, Method, Settings, Shapes, Splits, Training
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.identity import Material
from avgzsl_bench.layers import reseed

DATASET = "demo"
CPU = torch.device("cpu")
CLIPS = 24  # in the small batches
# enough to tell learning from chance, in seconds; a method takes those it has a setting for
BUDGET = {
    "epochs": 5,
    "batches_per_epoch": 15,
    "batch_size": 64,
    "synthetic_per_class": 30,
    "classifier_epochs": 5,
    "classifier_batch_size": 200,
}


class Subject:
    """A method in one form, with demo's clips and class text in the shapes that training and scoring give it."""

    def __init__(self, name: str, form: str | None = None) -> None:
        self.kind: type[Method] = plugins.load("methods", name)
        self.name = name
        self._trained: dict[int, tuple[Method, list[dict[str, float]]]] = {}
        self.given: dict[str, Any] = {name: value for name, value in BUDGET.items() if name in self.kind.Settings.model_fields}
        if form is not None:
            self.given["form"] = form
        self.data = datasets.get(DATASET)
        self._open(self._features())

    def _features(self) -> str:
        """The first feature set that the method can be built for (one that shares a space with the text, if it must)."""
        refusals = []
        for preset, (features, _) in self.data.presets.items():
            if "temporal" in self.kind.needs and not self.data.features[features].seconds:
                continue
            try:
                self._open(preset)
                self.build()
            except AvgzslError as error:
                refusals.append(str(error))
            else:
                return preset
        raise AssertionError(f"cannot be built for any feature set of {DATASET}: {refusals[0]}")

    def _open(self, preset: str) -> None:
        run = config.resolve(self.name, DATASET, features=preset, settings=self.given)[0]
        material = Material(run)
        self.settings: Settings = self.kind.Settings(**run.settings)
        self.splits: Splits = material.splits
        self.shared = material.shared
        self.vectors = torch.from_numpy(material.vectors)  # (classes, texts, dim) of the whole data set
        self.seen = self.splits.role_ids("train", "validation_unseen")
        self.unseen = self.splits.role_ids("test_unseen")

    @cached_property
    def pool(self) -> batches.Pool:
        """Stage 2's training clips."""
        clips = self.splits.load("train", "validation_seen", "validation_unseen")
        return batches.pool(clips, self.seen, CPU, self.splits.features.seconds)

    @cached_property
    def test_clips(self) -> Clips:
        """Clips of the unseen test classes."""
        with TemporaryDirectory() as folder:
            selection = Path(folder, "selection.json")
            selection.write_text('{"by": "the conformance kit, which selects nothing"}')
            clips = self.splits.unseal(selection)
        return _chosen(clips, np.flatnonzero(np.isin(clips.label, self.unseen)))

    @cached_property
    def fewer_test_clips(self) -> Clips:
        """Every second one, for what scores them many times."""
        return _chosen(self.test_clips, np.arange(0, len(self.test_clips.label), 2))

    @cached_property
    def classes(self) -> ClassText:
        """Class text in training."""
        return ClassText(self.vectors[self.seen])

    @property
    def training(self) -> Training:
        """What `prepare` is given."""
        return batches.everything(self.pool, self.classes)

    @cached_property
    def _drawn(self) -> tuple[Tensor, Tensor]:
        return batches.draw(self.pool, CLIPS, torch.tensor(0, dtype=torch.int32))

    @cached_property
    def batch(self) -> Batch:
        """A small training batch, a clip a row."""
        return self.drawn(0)

    def drawn(self, key: int) -> Batch:
        """A small training batch of its own key."""
        chosen, others = batches.draw(self.pool, CLIPS, torch.tensor(key, dtype=torch.int32))
        return batches.batch_of(self.pool, chosen, others if "negatives" in self.kind.needs else None)

    @property
    def clips(self) -> Batch:
        """A small batch to score: no labels."""
        hidden = dict.fromkeys(("label", "label_negative", "audio_negative", "video_negative"), ABSENT)
        return self.batch._replace(**hidden)

    @property
    def packed_clips(self) -> Batch:
        """The clips of `clips` in rows of several, for methods that need temporal features."""
        return self.pool.clips.batch(self._drawn[0], packed=2)

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

    def exam(self, method: Method, clips: Clips, classes: ClassText, seed: int) -> Tensor:
        """Scores (clips, classes) as the protocol computes them; of several classifiers, of the last."""
        rows = scoring.prepare(method, self.training, classes, seed)[-1]
        held = batches.hold(clips, CPU, self.splits.features.seconds)
        return scoring.score(method, held, rows, seed)

    def fits(self, method: Method, classes: ClassText) -> Tensor:
        """What `prepare` gives for candidate classes, (fits, classes, ...), in evaluation mode and with one key."""
        return scoring.prepare(method, self.training, classes, "kit")

    def prepare(self, method: Method, classes: ClassText) -> Tensor:
        """Rows of candidate classes (classes, ...); of several classifiers, the last."""
        return self.fits(method, classes)[-1]

    @torch.no_grad()
    def scores(self, method: Method, rows: Tensor, clips: Batch | None = None) -> Tensor:
        """Scores (clips, classes) in evaluation mode and with one key."""
        reseed(method.eval(), "kit")
        return method.scores(clips or self.clips, rows)


def _chosen(clips: Clips, index: NDArray[np.int64]) -> Clips:
    return Clips(clips.audio[index], clips.video[index], clips.label[index], ())


def subjects(name: str) -> dict[str, Callable[[], Subject]]:
    """A method by the label of each of its forms."""
    field = plugins.load("methods", name).Settings.model_fields.get("form")
    forms = get_args(field.annotation) if field else ()
    others = {f"{name} ({form})": partial(Subject, name, form) for form in forms if form != field.default}
    return {name: partial(Subject, name), **others}

"""What every protocol needs to train and to judge: a stage's clips, exams on validation and test, decisions and their metrics."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avgzsl_bench import batches, calibration, metrics, scoring, training
from avgzsl_bench.clips import TRAINING
from avgzsl_bench.contracts import ClassText, Clips, Evaluation, Method, Rules, Settings, Shapes, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.metrics import Decisions

log = logging.getLogger(__name__)

SCALE_WARNING = 1.5  # an absolute bias is carried from stage 1 to stage 2: warn when the scores' scale changes by more


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage's training clips and classes."""

    number: int
    pool: batches.Pool
    ids: list[int]  # ascending ids of the training classes
    text: ClassText


@dataclass(frozen=True, eq=False)
class Exam:
    """Clips to score against seen and unseen classes together."""

    clips: batches.Held
    ids_of_clips: tuple[str, ...]
    label: NDArray[np.int64]  # (clips,) class id
    seen: list[int]
    unseen: list[int]
    text: ClassText  # of seen and unseen classes by ascending id
    video: NDArray[np.int32] | None = None  # (clips,) and (clips,): as in `Decisions`, on test
    shared: NDArray[np.bool_] | None = None

    @property
    def ids(self) -> list[int]:
        """Class id of each column."""
        return sorted(self.seen + self.unseen)


class Judged(NamedTuple):
    """Decisions on one exam; those of audio and video alone too, where the rules calibrate on them."""

    decisions: Decisions
    by_modality: tuple[Decisions, ...] = ()


class Examiner:
    """The clips, classes and class text of one data set, and the rules by which decisions are taken on them."""

    def __init__(
        self,
        splits: Splits,
        text: NDArray[np.float32],
        shared: Mapping[str, tuple[int, int]],
        rules: Rules,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.splits = splits
        self.dtype = dtype
        self.vectors = torch.from_numpy(text).to(device, dtype)  # (classes, texts, dim)
        self.shared = shared
        self.rules = rules
        self.device = device
        self._held: WeakValueDictionary[object, Any] = WeakValueDictionary()  # for all runs that hold a part at a time

    def stage(self, number: int) -> Stage:
        """Stage 1 trains on the training classes, stage 2 on the validation classes too."""
        stage: Stage | None = self._held.get(number)
        if stage:
            return stage
        first = number == 1
        subsets = ("train",) if first else TRAINING
        ids = self.splits.role_ids("train") if first else self.splits.role_ids("train", "validation_unseen")
        pool = batches.pool(self.splits.load(*subsets), ids, self.device, self.splits.features.seconds, self.dtype)
        self._held[number] = stage = Stage(number, pool, ids, ClassText(self.vectors[ids]))
        return stage

    def validation(self) -> Exam:
        """The exam that selects."""
        exam: Exam | None = self._held.get("validation")
        if exam:
            return exam
        clips = self.splits.load("validation_seen", "validation_unseen")
        exam = self._exam(clips, self.splits.role_ids("train"), self.splits.role_ids("validation_unseen"))
        self._held["validation"] = exam
        return exam

    def test(self, selection: Path) -> Exam:
        """The final exam, opened only from a selection that is on disk."""
        clips = self.splits.unseal(selection)
        seen = self.splits.role_ids("train", "validation_unseen")
        video, shared = self.splits.sources(clips)
        return replace(self._exam(clips, seen, self.splits.role_ids("test_unseen")), video=video, shared=shared)

    def _exam(self, clips: Clips, seen: list[int], unseen: list[int]) -> Exam:
        ids = sorted(seen + unseen)
        counts = np.bincount(batches.rows_of(clips.label, ids), minlength=len(ids))
        empty = [self.splits.classes[ids[row]].name for row in np.flatnonzero(counts == 0)]
        if empty:
            raise AvgzslError(f"no clips of {', '.join(empty[:5])} to score: a mean over classes is undefined; import them")
        mask = torch.tensor([i in set(seen) for i in ids], device=self.device)
        held = batches.hold(clips, self.device, self.splits.features.seconds, self.dtype)
        return Exam(held, clips.ids, clips.label, seen, unseen, ClassText(self.vectors[ids], mask))

    def build(self, kind: type[Method], settings: Settings, stage: Stage, *key: object) -> Method:
        """A method for this stage's shapes, its initial weights drawn from `key`."""
        widths = self.splits.features
        texts, dim = self.vectors.shape[1:]
        shapes = Shapes(widths.audio, widths.video, dim, len(stage.ids), texts, self.shared)
        return training.build(kind, settings, shapes, self.device, *key).to(self.dtype)

    def judge(
        self, method: Method, stage: Stage, exam: Exam, *key: object, fits: slice = slice(None), rows: Tensor | None = None
    ) -> list[Judged]:
        """The decisions of each classifier that the method fits (of those in `fits`); of a method that fits none, one.

        `rows` are those of `prepare`, where they are there already.
        """
        if rows is None:
            rows = scoring.prepare(method, batches.everything(stage.pool, stage.text), exam.text, *key)
        return [self._judged(method, fit, exam, *key) for fit in rows[fits]]

    def _judged(self, method: Method, rows: Tensor, exam: Exam, *key: object) -> Judged:
        decisions = self.decide(scoring.score(method, exam.clips, rows, *key), exam)
        combines = type(method).scores_by_modality is not Method.scores_by_modality
        if self.rules == "corrected" or not combines:
            return Judged(decisions)
        alone = scoring.score_modalities(method, exam.clips, rows, *key)
        return Judged(decisions, tuple(self.decide(scores, exam) for scores in alone.values()))

    def decide(self, scores: Tensor, exam: Exam) -> Decisions:
        """The decisions of scores (clips, classes) whose columns are the exam's classes by ascending id."""
        decisions = metrics.decide(scores, torch.from_numpy(exam.label), exam.ids, exam.text.seen, self.rules)
        return decisions._replace(video=exam.video, shared=exam.shared)

    def calibrate(self, judged: Judged, exam: Exam, biases: NDArray[np.float64]) -> tuple[float, float]:
        """(bias, best harmonic mean): the exact sweep, or under reference rules the published grid.

        The reference code of methods that combine two distances takes the mean of the biases that are best for the audio,
        for the video and for both.
        """
        if self.rules == "corrected":
            return calibration.best_bias(calibration.sweep(judged.decisions, exam.seen, exam.unseen))
        found = [calibration.grid_bias(one, exam.seen, exam.unseen, biases) for one in (judged.decisions, *judged.by_modality)]
        return float(np.mean([bias for bias, _ in found])), found[0][1]

    def select(self, method: Method, stage: Stage, exam: Exam, *key: object, rows: Tensor | None = None) -> dict[str, Any]:
        """The seen bias and its harmonic mean; of a method that fits classifiers those of the best, and its number of epochs."""
        fitted = []
        for judged in self.judge(method, stage, exam, *key, rows=rows):
            bias, value = self.calibrate(judged, exam, method.reference_biases)
            fitted.append({"seen_bias": bias, "value": value, "score_scale": calibration.score_scale(judged.decisions)})
        best = max(range(len(fitted)), key=lambda fit: (fitted[fit]["value"], -fit))
        return {**fitted[best], **({"classifier_epoch": best + 1} if method.classifier_epochs else {})}

    def evaluation(
        self,
        judged: Judged,
        exam: Exam,
        chosen: Mapping[str, Any],
        who: str,
        weights: dict[str, Tensor],
        cost: dict[str, Any],
    ) -> Evaluation:
        """What a protocol returns of the test exam and the selection it was judged by; `who` as in `compare_scales`."""
        decisions, bias = judged.decisions, chosen["seen_bias"]
        scales = compare_scales(who, chosen["score_scale"], decisions)
        return Evaluation(
            {key: value for key, value in chosen.items() if key not in ("candidate", "score_scale")},
            {**self.metrics(decisions, exam, bias), "score_scale": scales},
            self.per_class(decisions, exam, bias),
            decisions.columns(),
            weights,
            cost,
        )

    def metrics(self, decisions: Decisions, exam: Exam, bias: float) -> dict[str, Any]:
        """S, U, HM at the bias, ZSL, and what is recorded beside them, as fractions."""
        curve = calibration.sweep(decisions, exam.seen, exam.unseen)
        unshared = metrics.unshared(decisions, bias, exam.seen, self.rules)
        return {
            **metrics.at_bias(decisions, bias, exam.seen, exam.unseen, self.rules)._asdict(),
            "zero_shot": metrics.zero_shot(decisions, exam.unseen),
            "ausuc": calibration.ausuc(curve),
            "at_bias_0": metrics.at_bias(decisions, 0.0, exam.seen, exam.unseen, self.rules)._asdict(),
            "oracle_harmonic_mean": calibration.oracle(curve),
            **({"unshared": unshared._asdict()} if unshared else {}),
        }

    def per_class(self, decisions: Decisions, exam: Exam, bias: float) -> dict[str, list[Any]]:
        """Counts for every class of the split, one list a column."""
        counts = metrics.per_class(decisions, bias, exam.seen, exam.unseen, self.rules)
        return {
            "name": [self.splits.classes[i].name for i in exam.ids],
            "unseen": [i in set(exam.unseen) for i in exam.ids],
            **{key: [int(n) for n in column] for key, column in counts._asdict().items() if key != "id"},
        }


def compare_scales(who: str, first: float | None, decisions: Decisions) -> dict[str, float | None]:
    """The scale of the scores in both stages, since an absolute bias is carried over; warns of a change, if `who` is named."""
    second = calibration.score_scale(decisions)
    if who and first is not None and max(first, second) > SCALE_WARNING * min(first, second):
        said = f"{first:.3g} in stage 1, {second:.3g} in stage 2"
        log.warning("warning: %s: the scores' scale is %s, so the seen bias may not carry over (score_scale)", who, said)
    return {"stage_1": first, "stage_2": second}

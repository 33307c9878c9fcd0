"""The last step of the protocol for what was trained elsewhere: write the selection down, unseal the test set, judge once."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avgzsl_bench import calibration
from avgzsl_bench.checkpoints import Scored
from avgzsl_bench.contracts import Evaluation, Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import write_whole
from avgzsl_bench.protocols._exams import Exam, Examiner, Judged, Stage

Selection = dict[str, Any]


def declared(bias: float, epoch: int | None = None) -> Selection:
    """A selection that nothing here made: the bias is as it was given."""
    return _selection("declared", "declared", epoch, {"seen_bias": bias, "value": None, "score_scale": None})


def _selection(split: str, criterion: str, epoch: int | None, found: dict[str, Any]) -> Selection:
    return {"split": split, "criterion": criterion, "epoch": epoch, **found, "search": None}


def select_by_weights(examiner: Examiner, method: Method, stage: Stage, epoch: int | None, seed: int) -> Selection:
    """The bias (and the classifier epoch) that a model of stage 1 scores best with on validation."""
    found = examiner.select(method, stage, examiner.validation(), seed)
    return _selection("validation", "harmonic_mean", epoch, found)


def select_by_scores(examiner: Examiner, scored: Scored) -> Selection:
    """The bias with which the scores are best on validation. Raises AvgzslError unless they cover exactly that part."""
    exam = examiner.validation()
    decisions = examiner.decide(_aligned(scored, exam, examiner, "validation"), exam)
    bias, value = examiner.calibrate(Judged(decisions), exam, Method.reference_biases)
    found = {"seen_bias": bias, "value": value, "score_scale": calibration.score_scale(decisions)}
    return _selection("validation", "harmonic_mean", None, found)


def judge_weights(
    examiner: Examiner, method: Method, stage: Stage, selection: Selection, folder: Path, name: str, seed: int
) -> Evaluation:
    """Score the test set once with a model of stage 2, after its selection is on disk; `name` is the method's, for messages."""
    exam = _opened(examiner, selection, folder)
    fit = selection.get("classifier_epoch", method.classifier_epochs or 1)
    (judged,) = examiner.judge(method, stage, exam, seed, fits=slice(fit - 1, fit))
    parameters = sum(part.numel() for part in method.parameters())
    who = "" if method.floor else name
    return examiner.evaluation(judged, exam, selection, who, {}, {"parameters": parameters})


def judge_scores(examiner: Examiner, scored: Scored, selection: Selection, folder: Path) -> Evaluation:
    """Judge given test scores once, after their selection is on disk.

    Raises AvgzslError unless they cover exactly the test clips and the classes of the split.
    """
    exam = _opened(examiner, selection, folder)
    decisions = examiner.decide(_aligned(scored, exam, examiner, "test"), exam)
    return examiner.evaluation(Judged(decisions), exam, selection, "the given scores", {}, {})


def _opened(examiner: Examiner, selection: Selection, folder: Path) -> Exam:
    path = folder / "selection.json"
    write_whole(path, json.dumps(selection, indent=1, allow_nan=False) + "\n")
    return examiner.test(path)


def _aligned(scored: Scored, exam: Exam, examiner: Examiner, part: str) -> Tensor:
    """The scores with rows and columns in the order of the exam (clips, classes)."""
    classes = [examiner.splits.classes[i].name for i in exam.ids]
    rows = _places(scored.clips, exam.ids_of_clips, part, "clips")
    columns = _places(scored.classes, classes, part, "classes")
    return scored.values[rows][:, columns].to(examiner.device)


def _places(given: Sequence[str], wanted: Sequence[str], part: str, what: str) -> Tensor:
    place = {name: i for i, name in enumerate(given)}
    missing = [name for name in wanted if name not in place]
    if missing:
        said = f"lack {len(missing)} of {len(wanted)} {what}, first {missing[0]!r}"
        raise AvgzslError(f"the {part} scores {said}; they must cover exactly the {what} of this split")
    if strange := sorted(place.keys() - set(wanted)):
        said = f"hold {what} that are not of this split ({len(strange)}, first {strange[0]!r})"
        raise AvgzslError(f"the {part} scores {said}; leave them out")
    return torch.tensor([place[name] for name in wanted])

"""From scores to decisions, and from decisions to S, U, HM and ZSL: pure functions, float64."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avgzsl_bench.contracts import Rules
from avgzsl_bench.errors import AvgzslError

Ids = Sequence[int] | NDArray[Any]


class Decisions(NamedTuple):
    """What every metric at every seen bias follows from: 14 bytes a clip, in the canonical clip order, and 5 of its source.

    Classes are ids of the data set. Under corrected rules the class of a tie is a wrong one where there is one. The source
    videos are None where they are not known: on validation, and in records written before they were kept.
    """

    label: NDArray[np.int16]  # (clips,)
    seen_class: NDArray[np.int16]  # (clips,) best seen class
    seen_score: NDArray[np.float32]  # (clips,) and its score, higher is better
    unseen_class: NDArray[np.int16]  # (clips,) best unseen class
    unseen_score: NDArray[np.float32]  # (clips,)
    video: NDArray[np.int32] | None = None  # (clips,) the same number for the clips of one source video
    shared: NDArray[np.bool_] | None = None  # (clips,) whether that video also stands in the training clips of stage 2

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns that there are, by name."""
        return {name: column for name, column in self._asdict().items() if column is not None}


class Accuracies(NamedTuple):
    """Means over classes of the per-class accuracy, as fractions."""

    seen: float
    unseen: float
    harmonic_mean: float


class PerClass(NamedTuple):
    """Counts of clips for every class of the split, by ascending id."""

    id: NDArray[np.int64]
    clips: NDArray[np.int64]
    correct: NDArray[np.int64]  # among all classes, at the bias
    correct_zero_shot: NDArray[np.int64]  # among unseen classes; 0 for a seen class, which is no candidate


class Unshared(NamedTuple):
    """S without the clips that training has seen other parts of."""

    seen: float | None  # as a fraction; None where no clip remains
    clips: int  # that remain
    classes: int  # that they are of


def decide(scores: Tensor, label: Tensor, ids: Tensor | Sequence[int], seen: Tensor, rules: Rules) -> Decisions:
    """Reduce scores (clips, classes), higher is better, to the best seen and the best unseen class of every clip.

    `label` (clips,) holds class ids, `ids` (classes,) the ascending class id of each column, `seen` (classes,) bool.
    Corrected: a clip whose own class ties with a wrong one gets the wrong one. Reference: the lowest id of a tie.
    Scores are compared in float32, as they are stored. Raises AvgzslError when a best score is NaN or infinite.
    """
    scores = scores.detach().float()
    label, ids, seen = (torch.as_tensor(value, device=scores.device) for value in (label, ids, seen))
    seen_class, seen_score = _best(scores[:, seen], ids[seen], label, rules)
    unseen_class, unseen_score = _best(scores[:, ~seen], ids[~seen], label, rules)
    broken = int((~torch.isfinite(seen_score) | ~torch.isfinite(unseen_score)).sum())
    if broken:
        raise AvgzslError(f"the method's scores are NaN or infinite for {broken} of {len(label)} clips; lower its learning rate")
    return Decisions(*(_host(part) for part in (label, seen_class, seen_score, unseen_class, unseen_score)))


def _best(scores: Tensor, ids: Tensor, label: Tensor, rules: Rules) -> tuple[Tensor, Tensor]:
    column = scores.argmax(1)  # the first of equals, and NaN where there is one
    score = scores.gather(1, column[:, None])  # (clips, 1)
    if rules == "corrected":
        rival = (scores == score) & (ids != label[:, None])  # (clips, classes)
        column = torch.where(rival.any(1), rival.byte().argmax(1), column)
    return ids[column], score[:, 0]


def _host(part: Tensor) -> NDArray[Any]:
    return (part if part.is_floating_point() else part.to(torch.int16)).cpu().numpy()


def gap(decisions: Decisions) -> NDArray[np.float64]:
    """Best seen minus best unseen score (clips,): a clip goes to a seen class at every bias below its gap."""
    return decisions.seen_score.astype(np.float64) - decisions.unseen_score


def is_correct(decisions: Decisions, bias: float, rules: Rules) -> NDArray[np.bool_]:
    """Whether each clip is classified as its own class among all classes, (clips,), `bias` being taken off seen scores.

    Calibrated stacking (Chao et al., ECCV 2016). Seen and unseen tied at exactly the bias: wrong if corrected; reference
    takes the lower id.
    """
    over = gap(decisions)
    to_unseen = over < bias
    if rules == "reference":
        to_unseen |= (over == bias) & (decisions.unseen_class < decisions.seen_class)
    right: NDArray[np.bool_] = np.where(to_unseen, decisions.unseen_class, decisions.seen_class) == decisions.label
    return right & (over != bias) if rules == "corrected" else right


def count_clips(label: NDArray[Any], ids: Ids) -> NDArray[np.int64]:
    """Clips of each class in `ids`. Raises AvgzslError for a class without clips, whose accuracy is undefined."""
    clips = _count(label, ids)
    if not clips.all():
        empty = ", ".join(str(i) for i in np.asarray(ids)[clips == 0])
        raise AvgzslError(
            f"no clips of class id {empty}, so the mean over classes is undefined; import the data set again, whole"
        )
    return clips


def _count(label: NDArray[Any], ids: Ids) -> NDArray[np.int64]:
    wanted = np.asarray(ids)
    counts: NDArray[np.int64] = np.bincount(label, minlength=int(wanted.max()) + 1)[wanted]
    return counts


def per_class(decisions: Decisions, bias: float, seen_ids: Ids, unseen_ids: Ids, rules: Rules) -> PerClass:
    """Clips and correct clips of every class of the split. Raises AvgzslError for a class without clips."""
    ids = np.sort(np.concatenate([seen_ids, unseen_ids])).astype(np.int64)
    label, right = decisions.label, is_correct(decisions, bias, rules)
    clips = count_clips(label, ids)
    if clips.sum() != len(label):
        raise ValueError(f"{len(label) - clips.sum()} clips are of classes outside the split")
    return PerClass(
        id=ids,
        clips=clips,
        correct=_count(label[right], ids),
        correct_zero_shot=_count(label[decisions.unseen_class == label], ids),
    )


def at_bias(decisions: Decisions, bias: float, seen_ids: Ids, unseen_ids: Ids, rules: Rules) -> Accuracies:
    """S, U and HM with `bias` taken off seen scores. Raises AvgzslError for a class without clips."""
    counts = per_class(decisions, bias, seen_ids, unseen_ids, rules)
    accuracy, is_unseen = counts.correct / counts.clips, np.isin(counts.id, unseen_ids)
    seen, unseen = float(accuracy[~is_unseen].mean()), float(accuracy[is_unseen].mean())
    return Accuracies(seen, unseen, float(harmonic_mean(np.float64(seen), np.float64(unseen))))


def unshared_clips(decisions: Decisions, seen_ids: Ids) -> NDArray[np.int64] | None:
    """Of each seen class, the clips whose source video does not stand in training, (classes,); None where it is not known."""
    return None if decisions.shared is None else _count(decisions.label[~decisions.shared], seen_ids)


def unshared(decisions: Decisions, bias: float, seen_ids: Ids, rules: Rules) -> Unshared | None:
    """S over the clips of `unshared_clips`, a mean over the classes that still have some; None where it is not known."""
    clips = unshared_clips(decisions, seen_ids)
    if clips is None or decisions.shared is None:
        return None
    kept = clips > 0
    correct = _count(decisions.label[~decisions.shared & is_correct(decisions, bias, rules)], seen_ids)
    seen = float((correct[kept] / clips[kept]).mean()) if kept.any() else None
    return Unshared(seen, int(clips.sum()), int(kept.sum()))


def zero_shot(decisions: Decisions, unseen_ids: Ids) -> float:
    """ZSL: mean over unseen classes of the accuracy among unseen classes. Raises AvgzslError for a class without clips."""
    right = decisions.unseen_class == decisions.label
    return float((_count(decisions.label[right], unseen_ids) / count_clips(decisions.label, unseen_ids)).mean())


def harmonic_mean(seen: NDArray[np.float64] | np.float64, unseen: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """HM = 2 S U / (S + U), element by element; 0 where both are 0."""
    total = np.asarray(seen + unseen)
    return np.divide(2 * seen * unseen, total, out=np.zeros_like(total), where=total > 0)

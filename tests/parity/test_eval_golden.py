"""The scorer under reference rules against results that the released scorer gave."""

import numpy as np
import pytest
import torch
from golden_file import Golden

from avgzsl_bench.calibration import grid_bias
from avgzsl_bench.contracts import Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.metrics import Decisions, at_bias, decide, per_class, zero_shot

SQUARED = "squares of rounded roots: which exact ties survive depends on the rounding of torch.cdist"
FALSY = "the reference reads a given bias of 0 as no bias and searches; here 0 stays 0"
EMPTY = "a class without clips is an error here, NaN there"
TIES = [f"ties_quantised/{cell}" for cell in ("video/SquaredL2Loss/beta_None", "both/SquaredL2Loss/beta_None",
                                              "both/SquaredL2Loss/beta_0.4")]  # fmt: skip


def reference_distances(golden, case, mode, distance):
    given = golden.under(f"{case}/in/")
    by_modality = {key: torch.cdist(given[key], given["t"]) for key in "av"}
    if distance == "SquaredL2Loss":
        by_modality = {key: value**2 for key, value in by_modality.items()}
    if mode != "both":
        return by_modality[mode[0]]
    gate = given.get("attention_threshold")
    if gate is None:
        return by_modality["a"] + by_modality["v"]
    return (1 - gate) * by_modality["a"] + gate * by_modality["v"]


def golden_decisions(golden, case, mode, distance) -> tuple[Decisions, np.ndarray, np.ndarray]:
    seen, unseen, label = (golden[f"{case}/in/{key}"].numpy() for key in ("seen", "unseen", "targets"))
    ids = np.sort(np.concatenate([seen, unseen]))
    scores = -reference_distances(golden, case, mode, distance)
    mask = torch.from_numpy(np.isin(ids, seen))
    return decide(scores, torch.from_numpy(label), ids.tolist(), mask, "reference"), seen, unseen


def check(golden, cell):
    case, mode, distance, beta = cell.split("/")
    decisions, seen, unseen = golden_decisions(golden, case, mode, distance)
    bias = 0.4 if beta == "beta_0.4" else grid_bias(decisions, seen, unseen, Method.reference_biases)[0]
    golden.equal(f"{cell}/beta", bias)
    for key, value in zip(("seen", "unseen", "hm"), at_bias(decisions, bias, seen, unseen, "reference"), strict=True):
        golden.equal(f"{cell}/{key}", value)
    golden.equal(f"{cell}/zsl", zero_shot(decisions, unseen))
    counts = per_class(decisions, bias, seen, unseen, "reference")
    recall = np.zeros(int(golden[f"{case}/in/n_classes"]))
    recall[counts.id] = counts.correct_zero_shot / counts.clips
    golden.equal(f"{cell}/recall", recall)


def left_out(cells):
    falsy = [cell for cell in cells if "beta_0.0" in cell]
    empty = [cell for cell in cells if "_class_without_samples" in cell]
    return dict.fromkeys(falsy, FALSY) | dict.fromkeys(empty, EMPTY) | dict.fromkeys(TIES, SQUARED)


def compare():
    golden = Golden("eval")
    cells = sorted({key.rsplit("/", 1)[0] for key in golden.arrays if "/in/" not in key})
    assert len(cells) == 96
    reasons = left_out(cells)
    assert [list(reasons.values()).count(reason) for reason in (FALSY, EMPTY, SQUARED)] == [30, 6, 3]
    for cell in cells:
        if cell not in reasons:
            check(golden, cell)
    golden.listed(reasons | {f"{case}_class_without_samples/in/": EMPTY for case in ("seen", "unseen")})
    return golden


def test_a_moved_class_text_fails():
    golden = Golden("eval")
    golden.arrays["random/in/t"] = np.roll(golden.arrays["random/in/t"], 1, 0)
    with pytest.raises(AssertionError, match="random/video/L2Loss/beta_None/beta differs"):
        check(golden, "random/video/L2Loss/beta_None")


@pytest.mark.parametrize("case", ["seen_class_without_samples", "unseen_class_without_samples"])
def test_a_class_without_clips_is_named(case):
    decisions, seen, unseen = golden_decisions(Golden("eval"), case, "video", "L2Loss")
    with pytest.raises(AvgzslError, match=f"class id {3 if case.startswith('seen') else 4},"):
        at_bias(decisions, 0.0, seen, unseen, "reference")
    if case.startswith("unseen"):
        with pytest.raises(AvgzslError, match="class id 4,"):
            zero_shot(decisions, unseen)


def test_clips_outside_the_split_are_not_dropped_silently():
    decisions, seen, unseen = golden_decisions(Golden("eval"), "random", "video", "L2Loss")
    with pytest.raises(ValueError, match="outside the split"):
        at_bias(decisions, 0.0, seen[:-1], unseen, "corrected")

"""The reference form of APN against arrays that the released code made."""

import pytest
import torch
from golden_file import Golden

from avgzsl_bench.contracts import Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.apn import Apn

NEGATIVES = "an input of the released data loader that APN does not read"
TERMS = {
    "xe_final": "classification",
    "mse_final": "regression",
    "xe_layer4": "prototype_classification",
    "mse_layer4": "prototype_regression",
}
BRANCHES = {"ALE_vector": "project", "prototype_vectors.layer4": "prototypes"}


def build(golden, normed=False, form="reference"):
    method = Apn(Apn.Settings(form=form, norm_inputs=normed), Shapes(audio=24, video=40, text=300))
    method.load_released(golden.under("state/"))
    return method.train()


def check(golden, method, setting, batch, classes):
    mapped = {}
    for name in BRANCHES.values():
        getattr(method, name).register_forward_hook(lambda module, given, output, name=name: mapped.update({name: output}))
    terms = method(batch, classes)
    for name, own in TERMS.items():
        golden.equal(f"{setting}/train/{name}", terms[own], "loss")
    golden.equal(f"{setting}/train/loss", sum(terms.values()), "loss")
    sum(terms.values()).backward()
    for name, own in BRANCHES.items():
        golden.equal(f"{setting}/train/gradnorm/{name}", getattr(method, own).weight.grad.norm(), "gradient")
    check_evaluation(golden, method.eval(), mapped, setting, batch, classes)


def check_evaluation(golden, method, mapped, setting, batch, classes):
    rows = method.prepare(None, classes)
    clips, texts = method.embed(batch, rows)
    golden.equal(f"{setting}/eval/pre_attri_final", clips)
    golden.equal(f"{setting}/eval/output_final", (clips @ texts.T).softmax(1))
    golden.equal(f"{setting}/eval/pre_attri_layer4", mapped["prototypes"])
    golden.equal(f"{setting}/eval/pre_class_layer4", (mapped["prototypes"] @ texts.T).softmax(1))
    torch.testing.assert_close(method.scores(batch, rows), -(clips[:, None] - texts).norm(dim=2), rtol=1e-4, atol=1e-5)


def compare():
    golden = Golden("apn")
    batch, classes = golden.inputs(negatives=False)
    for setting in ("plain", "norm"):
        check(golden, build(golden, setting == "norm"), setting, batch, classes)
    golden.listed(dict.fromkeys(("in/audio_neg", "in/video_neg", "in/text_neg", "in/label_neg"), NEGATIVES))
    return golden


def test_the_paper_form_has_one_softmax_and_scores_by_the_logits():
    golden = Golden("apn")
    batch, classes = golden.inputs(negatives=False)
    method = build(golden, form="paper").eval()
    scores = method.scores(batch, method.prepare(None, classes))
    golden.equal("plain/eval/output_final", scores.softmax(1))
    terms = method(batch, classes)
    expected = -golden["plain/eval/output_final"].log()[range(16), batch.label].mean()
    torch.testing.assert_close(terms["classification"], expected)
    golden.equal("plain/train/mse_final", terms["regression"], "loss")


def test_other_weights_are_refused_by_name():
    golden = Golden("apn")
    with pytest.raises(AvgzslError, match=r"unknown: bilinear\.weight; missing: project\.weight, prototypes\.weight"):
        build(golden).load_released({"bilinear.weight": golden["state/ALE_vector"]})

"""The reference form of DeViSE against arrays that the released code made; ALE and SJE are compared the same way."""

import pytest
import torch
from golden_file import Golden

from avgzsl_bench.contracts import Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.devise import Devise

NEGATIVES = "an input of the released data loader that bilinear methods do not read"


def build(golden, normed, kind=Devise):
    settings = kind.Settings(form="reference", norm_inputs=normed)
    method = kind(settings, Shapes(audio=24, video=40, text=300))
    method.load_released(golden.under("state/"))
    return method.train()


def check(golden, method, setting, batch, classes):
    method.eval()
    rows = method.prepare(None, classes)
    clips, texts = method.embed(batch, rows)
    golden.equal(f"{setting}/eval/text", texts)
    golden.equal(f"{setting}/eval/projected", clips)
    golden.equal(f"{setting}/eval/logits", clips @ texts.T)
    torch.testing.assert_close(method.scores(batch, rows), -(clips[:, None] - texts).norm(dim=2), rtol=1e-4, atol=1e-5)
    method.train()
    optimiser = torch.optim.Adam(method.parts()["all"], lr=1e-3)
    (loss,) = method(batch, classes).values()
    golden.equal(f"{setting}/train/loss", loss, "loss")
    loss.backward()
    weight = method.project.weight
    golden.equal(f"{setting}/train/grad/bilinear.weight", weight.grad)
    golden.equal(f"{setting}/train/gradnorm/bilinear.weight", weight.grad.norm(), "gradient")
    optimiser.step()
    golden.equal(f"{setting}/after1/bilinear.weight", weight)


def compare(kind=Devise):
    golden = Golden(kind.__name__.lower())
    batch, classes = golden.inputs(negatives=False)
    for setting in ("plain", "norm"):
        check(golden, build(golden, setting == "norm", kind), setting, batch, classes)
    golden.listed(dict.fromkeys(("in/audio_neg", "in/video_neg", "in/text_neg", "in/label_neg"), NEGATIVES))
    return golden


def test_the_paper_form_scores_by_the_logits():
    golden = Golden("devise")
    batch, classes = golden.inputs(negatives=False)
    method = Devise(Devise.Settings(), Shapes(audio=24, video=40, text=300))
    method.load_released(golden.under("state/"))
    golden.equal("plain/eval/logits", method.eval().scores(batch, method.prepare(None, classes)))


def test_other_weights_are_refused_by_name():
    golden = Golden("devise")
    with pytest.raises(AvgzslError, match=r"unknown: linear\.weight; missing: project\.weight"):
        build(golden, False).load_released({"linear.weight": golden["state/bilinear.weight"]})
    with pytest.raises(AvgzslError, match=r"of another shape: project\.weight"):
        build(golden, False).load_released({"bilinear.weight": golden["state/bilinear.weight"].T})


def test_weights_of_a_parallel_module_load_too():
    golden = Golden("devise")
    method = build(golden, False)
    method.load_released({"module.bilinear.weight": golden["state/bilinear.weight"] + 1})
    torch.testing.assert_close(method.project.weight.data, golden["state/bilinear.weight"] + 1)


def test_a_weight_that_stands_there_twice_is_refused():
    golden = Golden("devise")
    weight = golden["state/bilinear.weight"]
    with pytest.raises(AvgzslError, match=r"given twice: project\.weight"):
        build(golden, False).load_released({"bilinear.weight": weight, "module.bilinear.weight": weight + 1})

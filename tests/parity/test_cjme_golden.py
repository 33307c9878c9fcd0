"""The reference form of CJME against arrays that the released code made."""

import pytest
import torch
from golden_file import Golden, outputs_of

from avgzsl_bench import layers
from avgzsl_bench.contracts import Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.cjme import RELEASED_NAMES, Cjme, _gated

TERMS = {"composite_mean": "composite", "L_av": "audio_video", "supervision_loss": "attention"}
PASSES = {
    "embed_audio": ["a_p", "a_q"],
    "embed_video": ["v_p", "v_q"],
    "embed_text": ["t_p", "t_q", "classes"],
    "gate": ["attention"],
}
BIASES = {f"triplet_net.embedding_net{number}.fc.0.bias" for number in (1, 2, 3)}  # before a batch norm


def build(golden, form="reference"):
    method = Cjme(Cjme.Settings(form=form, encoder_hidden=48), Shapes(audio=24, video=40, text=300))
    method.load_released(golden.under("state/"))
    return method.train()


def run(method, batch, classes):
    """The terms, and every output of every part in the order of the passes."""
    outputs = outputs_of(method, PASSES)
    return method(batch, classes), {name: list(found) for name, found in outputs.items()}


def check_passes(golden, mode, outputs):
    for name, keys in PASSES.items():
        for key, output in zip(keys, outputs[name], strict=True):
            golden.equal(f"{mode}/{key}", output)
    golden.equal(f"{mode}/attention_threshold", (outputs["gate"][0] >= 0.5).float())


def check_training(golden, method, batch, classes):
    terms, outputs = run(method, batch, classes)
    check_passes(golden, "train", outputs)
    for name, own in TERMS.items():
        golden.equal(f"train/{name}", terms[own], "loss")
    golden.equal("train/loss", sum(terms.values()), "loss")
    (near_audio, far_audio), (near_video, far_video) = outputs["embed_audio"], outputs["embed_video"]
    text, gate = outputs["embed_text"][0], outputs["gate"][0]
    apart = method._triplets(text, near_audio, far_audio), method._triplets(text, near_video, far_video)
    golden.equal("train/l_ta", apart[0])
    golden.equal("train/l_tv", apart[1])
    golden.equal("train/composite_matrix", _gated(gate, *apart))
    sum(terms.values()).backward()
    golden.gradients(method, RELEASED_NAMES, BIASES)
    for name in golden.under("after_forward/"):
        golden.equal(f"after_forward/{name}", method.state_dict()[layers._rename(name, RELEASED_NAMES)])


def check_evaluation(golden, method, batch, classes):
    _, outputs = run(method.eval(), batch, classes)
    check_passes(golden, "eval", outputs)
    rows = method.prepare(None, classes)
    golden.equal("eval/classes", rows)
    audio, video = (-(golden[f"eval/{name}"][:, None] - golden["eval/classes"]).norm(dim=2) for name in ("a_p", "v_p"))
    alone = method.scores_by_modality(batch, rows)
    torch.testing.assert_close(alone, {"audio": audio, "video": video}, rtol=1e-4, atol=1e-5)
    hard = torch.where(golden["eval/attention_threshold"] == 1, video, audio)
    torch.testing.assert_close(method.scores(batch, rows), hard, rtol=1e-4, atol=1e-5)
    clips, texts = method.embed(batch, rows)
    torch.testing.assert_close(-(clips[:, None] - texts).norm(dim=2), hard, rtol=1e-4, atol=1e-5)


def compare():
    golden = Golden("cjme")
    batch, classes = golden.inputs(negatives=True)
    check_evaluation(golden, build(golden), batch, classes)
    check_training(golden, build(golden), batch, classes)
    golden.listed({})
    return golden


def test_the_paper_form_gates_each_clip_by_itself():
    golden = Golden("cjme")
    batch, classes = golden.inputs(negatives=True)
    method = build(golden, "paper")
    terms = method(batch, classes)
    expected = golden["train/composite_matrix"].diagonal().mean()
    assert abs(expected - golden["train/composite_mean"]) > 1e-3
    torch.testing.assert_close(terms["composite"], expected)
    golden.equal("train/L_av", terms["audio_video"], "loss")
    golden.equal("train/supervision_loss", terms["attention"], "loss")


def test_the_paper_form_scores_by_the_gate_as_it_is():
    golden = Golden("cjme")
    batch, classes = golden.inputs(negatives=True)
    method = build(golden, "paper").eval()
    rows = method.prepare(None, classes)
    alone, gate = method.scores_by_modality(batch, rows), golden["eval/attention"]
    expected = (1 - gate) * alone["audio"] + gate * alone["video"]
    torch.testing.assert_close(method.scores(batch, rows), expected)


def test_other_weights_are_refused_by_name():
    golden = Golden("cjme")
    state = golden.under("state/")
    state["attention_model.2.weight"] = state.pop("attention_model.1.weight")
    with pytest.raises(AvgzslError, match=r"unknown: gate\.2\.weight; missing: gate\.1\.weight"):
        build(golden).load_released(state)

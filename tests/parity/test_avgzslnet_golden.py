"""AVGZSLNet against arrays that the released code made."""

import pytest
import torch
from golden_file import Golden, outputs_of
from torch.nn import functional as F

from avgzsl_bench import layers
from avgzsl_bench.contracts import Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.avgzslnet import RELEASED_NAMES, Avgzslnet

TERMS = {
    "cmd.l_cta": "decoded_audio",
    "cmd.l_ctv": "decoded_video",
    "ct.l_ta": "text_audio",
    "ct.l_at": "audio_text",
    "ct.l_tv": "text_video",
    "ct.l_vt": "video_text",
}
RECONSTRUCTIONS = ("reconstruct_text", "reconstruct_audio", "reconstruct_video")
PASSES = {"embed_audio": ["a_p", "a_q"], "embed_video": ["v_p", "v_q"], "embed_text": ["t_p", "t_q"]}
DECODED = ["x_ta_p", "x_tv_p", "x_tt_p", "x_ta_q", "x_tv_q"]
BIASES = {
    *(f"triplet_net.embedding_net{number}.fc.0.bias" for number in (1, 2, 3)),
    "decoder_net.embedding_net.fc.0.bias",
}  # before a batch norm


def build(golden):
    settings = Avgzslnet.Settings(encoder_hidden=48, decoder_hidden=20, dropout_encoder=0, dropout_decoder=0)
    method = Avgzslnet(settings, Shapes(audio=24, video=40, text=300))
    method.load_released(golden.under("state/"))
    return method.train()


def run(golden, mode, method, batch, classes):
    """The terms, with every output of every part compared in the order of the passes."""
    outputs = outputs_of(method, (*PASSES, "decode_text"))
    terms = method(batch, classes)
    for name, keys in PASSES.items():
        for key, output in zip(keys, outputs[name], strict=True):
            golden.equal(f"{mode}/{key}", output)
    for key, output in zip(DECODED, outputs["decode_text"], strict=True):
        golden.equal(f"{mode}/{key}", F.normalize(output))
    assert classes.vectors[batch.label, 0].equal(golden[f"{mode}/x_t_p"])  # the released code hands its text on
    return terms


def check_training(golden, method, batch, classes):
    terms = run(golden, "train", method, batch, classes)
    assert {*TERMS.values(), *RECONSTRUCTIONS} == terms.keys()
    for name, own in TERMS.items():
        golden.equal(f"train/{name}", terms[own], "loss")
    golden.equal("train/cmd.l_rec", sum(terms[name] for name in RECONSTRUCTIONS), "loss")
    golden.equal("train/loss", sum(terms.values()), "loss")
    sum(terms.values()).backward()
    golden.gradients(method, RELEASED_NAMES, BIASES)
    for name in golden.under("after_forward/"):
        golden.equal(f"after_forward/{name}", method.state_dict()[layers._rename(name, RELEASED_NAMES)])


def check_evaluation(golden, method, batch, classes):
    run(golden, "eval", method.eval(), batch, classes)
    rows = method.prepare(None, classes)
    golden.equal("eval/classes", rows)
    audio, video = (-(golden[f"eval/{name}"][:, None] - golden["eval/classes"]).norm(dim=2) for name in ("a_p", "v_p"))
    alone = method.scores_by_modality(batch, rows)
    torch.testing.assert_close(alone, {"audio": audio, "video": video}, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(method.scores(batch, rows), audio + video, rtol=1e-4, atol=1e-5)


def compare():
    golden = Golden("avgzslnet")
    batch, classes = golden.inputs(negatives=True)
    check_evaluation(golden, build(golden), batch, classes)
    check_training(golden, build(golden), batch, classes)
    golden.listed({})
    return golden


def test_other_weights_are_refused_by_name():
    golden = Golden("avgzslnet")
    state = golden.under("state/")
    del state["decoder_net.embedding_net.fc.4.bias"]
    with pytest.raises(AvgzslError, match=r"missing: decode_text\.4\.bias"):
        build(golden).load_released(state)

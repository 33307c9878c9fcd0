"""The reference form of KDA against arrays that the released code made, and the counts of its parameters."""

import pytest
import torch
from golden_file import BEFORE_BATCH_NORM, Golden

from avgzsl_bench import layers
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.kda import RELEASED_DEAD, RELEASED_NAMES, Kda

UNREAD = "an input of the released data loader that KDA does not read (its text is in/text_fields)"
DEAD = "the release adds its margin after the softmax and leaves the result out of its loss"
LEFT_OUT = {
    **dict.fromkeys(("in/audio_neg", "in/video_neg", "in/label_neg", "in/text", "in/classes"), UNREAD),
    **{f"{setting}/train/output_with_margin": DEAD for setting in ("plain", "norm")},
    **{f"{setting}/train/xe_with_margin_not_in_released_loss": DEAD for setting in ("plain", "norm")},
}
BIASES = {  # before a batch norm; the last stands before the projectors', behind a residual
    *(f"{part}.fc.{place}.bias" for part in ("A_enc", "V_enc", "A_proj", "V_proj") for place in (0, 4)),
    "cross_attention.layers.0.1.fn.net.3.bias",
}


def build(golden, normed):
    settings = Kda.Settings(form="reference", width=32, video_hidden=48, dropout_attention=0, norm_inputs=normed)
    method = Kda(settings, Shapes(audio=24, video=40, text=32))
    state = golden.under("state/")
    method.load_released(state)
    own = method.state_dict()
    for name, value in state.items():
        if not name.startswith(RELEASED_DEAD):
            place = own[layers._rename(name, RELEASED_NAMES)]
            torch.testing.assert_close(place, value.view_as(place), rtol=0, atol=0)
    return method.train()


def inputs(golden):
    classes = ClassText(golden["in/text_fields"].transpose(0, 1))  # (classes, 4 texts, dim)
    return Batch(golden["in/label"], golden["in/audio"], golden["in/video"]), classes


def check(golden, method, setting, batch, classes):
    method.eval()
    rows = method.prepare(None, classes)
    clips, texts = method.embed(batch, rows)
    golden.equal(f"{setting}/eval/pre_attri_final", clips)
    golden.equal(f"{setting}/eval/text_embeds", texts)
    golden.equal(f"{setting}/eval/text_embeds_all", texts[batch.label])
    golden.equal(f"{setting}/eval/output_final", torch.softmax(clips @ texts.T, 1))
    torch.testing.assert_close(method.scores(batch, rows), -(clips[:, None] - texts).norm(dim=2), rtol=1e-4, atol=1e-5)
    method.train()
    embedded = []
    method.embed_clips.register_forward_hook(lambda module, given, output: embedded.append(output))
    (loss,) = method(batch, classes).values()
    golden.equal(f"{setting}/train/pre_attri_final", embedded[0])
    golden.equal(f"{setting}/train/loss_released", loss, "loss")
    loss.backward()
    own = dict(method.named_parameters())
    for name in golden.under(f"{setting}/train/gradnorm/"):
        dead = name.startswith(RELEASED_DEAD)  # what we leave out is what the release does not train
        golden.equal(f"{setting}/train/gradnone/{name}", dead)
        if not dead:
            norm = own.pop(layers._rename(name, RELEASED_NAMES)).grad.norm()
            golden.equal(f"{setting}/train/gradnorm/{name}", norm, "gradient", BEFORE_BATCH_NORM if name in BIASES else None)
    assert not own


def compare():
    golden = Golden("kda")
    batch, classes = inputs(golden)
    for setting in ("plain", "norm"):
        check(golden, build(golden, setting == "norm"), setting, batch, classes)
    golden.listed({**LEFT_OUT, "in/text_neg": UNREAD})
    return golden


@pytest.mark.parametrize(("audio", "video", "count"), [(512, 512, 3_843_648), (128, 4096, 7_317_056)])
def test_released_parameter_counts(audio, video, count):
    method = Kda(Kda.Settings(form="reference"), Shapes(audio=audio, video=video, text=512))
    assert sum(parameter.numel() for parameter in method.parts()["all"]) == count


def test_released_loss_is_five_times_the_squared_error():
    golden = Golden("kda")
    batch, classes = inputs(golden)
    method = build(golden, False).eval()
    clips, texts = method.embed(batch, method.prepare(None, classes))
    expected = 5 * (clips - texts[batch.label]).square().mean()
    torch.testing.assert_close(method(batch, classes)["regression"], expected)
    assert not any(name.startswith(("embed_texts", "margin")) for name, _ in method.named_parameters())


def test_other_weights_are_refused_by_name():
    golden = Golden("kda")
    state = golden.under("state/")
    del state["pos_emb1D"]
    with pytest.raises(AvgzslError, match="missing: modality"):
        build(golden, False).load_released(state)

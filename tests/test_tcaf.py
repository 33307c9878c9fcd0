"""TCaF beside what its golden file holds: sizes, padding, time, the mask of its attention, and its recipes."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from avgzsl_bench import published
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.methods._cross_attention import Layer, TokenNorm, spans_of
from avgzsl_bench.methods.tcaf import Tcaf

AUDIO, VIDEO, TEXT = 10, 12, 14
LENGTHS = {"audio": (3, 5, 2, 5), "video": (6, 8, 3, 7)}
SECONDS = {"audio": 0.96, "video": 0.64}
SMALL = {"depth": 2, "width": 16, "heads": 2, "head_width": 8, "feed_width": 12, "time_width": 8}
SMALL |= {"encoder_hidden": 16, "decoder_hidden": 12, "joint_width": 8}
FORMS = ("paper", "reference")


def build(form="paper", **settings):
    torch.manual_seed(0)
    method = Tcaf(Tcaf.Settings(form=form, **SMALL, **settings), Shapes(AUDIO, VIDEO, TEXT))
    for module in method.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    with torch.no_grad():  # so that the class token is mostly what it attends to
        method.class_token.mul_(0.1)
        for name, weight in method.transformer.named_parameters():
            weight.mul_(4.0 if name.endswith(("value.weight", "join.0.weight")) else 1.0)
    return method.eval()


def clips(padding=0, seconds=SECONDS, start=0.0):
    """Four clips of their own lengths, padded to the longest and by `padding` more; the crop begins at `start` seconds."""
    generator = torch.Generator().manual_seed(1)
    parts = {}
    for kind, dim in (("audio", AUDIO), ("video", VIDEO)):
        length = torch.tensor(LENGTHS[kind])
        real = torch.arange(int(length.max())) < length[:, None]
        features = torch.rand(*real.shape, dim, generator=generator) * (255 if kind == "audio" else 1)
        token = torch.arange(real.shape[1] + padding).expand(len(length), -1)
        parts[kind] = nn.functional.pad(features * real[..., None], (0, 0, 0, padding))
        parts[f"{kind}_mask"] = nn.functional.pad(real, (0, padding))
        parts[f"{kind}_time"] = start + token * seconds[kind]
    return Batch(label=torch.tensor([0, 2, 1, 2]), **parts)


def text():
    return ClassText(nn.functional.normalize(torch.randn(5, 1, TEXT, generator=torch.Generator().manual_seed(2)), dim=2))


def some(batch, index):
    return Batch(*(part[index] if isinstance(part, torch.Tensor) else part for part in batch))


def embedded(method, batch):
    with torch.no_grad():
        return method.embed(batch, torch.zeros(0))[0]


def trained_positions(method, batch):
    """What the joint space holds when the losses embed the clips, in evaluation mode."""
    outputs = []
    hook = method.project_clip.register_forward_hook(lambda module, given, output: outputs.append(output))
    with torch.no_grad():
        method(batch, text())
    hook.remove()
    return outputs[0]


def far(one, other):
    return ((one - other).abs().max() / other.abs().max()).item()


# the published totals: data set, features, split, widths of audio and video, parameters
SIZES = [
    ("ucf", "c3d_vggish", "cls", 128, 4096, 7_269_972),
    ("vggsound", "c3d_vggish", "cls", 128, 4096, 8_655_028),
    ("activitynet", "c3d_vggish", "cls", 128, 4096, 7_269_972),
    ("ucf", "selavi", "main", 512, 512, 4_521_764),
    ("vggsound", "selavi", "main", 512, 512, 8_848_308),
    ("activitynet", "selavi", "main", 512, 512, 5_161_908),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dataset", "features", "split", "audio", "video", "total"), SIZES)
def test_recipes_build_the_released_sizes(form, dataset, features, split, audio, video, total):
    recipe = published.recipe_for("tcaf", dataset, features, split, form)
    assert (recipe.key, recipe.source) == ("mercea2022tcaf", "script")
    with torch.device("meta"):
        method = Tcaf(Tcaf.Settings(form=form, **recipe.settings), Shapes(audio, video, 300))
    assert sum(parameter.numel() for parameter in method.parameters()) == total


@pytest.mark.parametrize(
    ("form", "features", "split", "training", "scoring"),
    [
        ("paper", "c3d_vggish", "cls", (round(60 * 0.64 / 0.96), 60), (round(300 * 0.64 / 0.96), 300)),
        ("reference", "c3d_vggish", "cls", (round(60 * 0.64 * 0.96), 60), (round(300 * 0.64 * 0.96), 300)),
        ("paper", "selavi", "main", (60, 60), (300, 300)),
        ("reference", "selavi", "main", (60, 60), (300, 300)),
    ],
)
def test_activitynet_is_cropped(form, features, split, training, scoring):
    given = published.recipe_for("tcaf", "activitynet", features, split, form).settings
    assert (given["training_audio_tokens"], given["training_video_tokens"]) == training
    assert (given["scoring_audio_tokens"], given["scoring_video_tokens"]) == scoring


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attention", ["cross", "self", "full"])
def test_scoring_depends_neither_on_padding_nor_on_other_clips(form, attention):
    method, batch = build(form, attention=attention), clips()
    expected = embedded(method, batch)
    assert expected.abs().max() > 0.1
    assert far(embedded(method, clips(padding=9)), expected) <= 1e-5
    assert far(embedded(method, some(batch, [2, 0])), expected[[2, 0]]) <= 1e-5
    changed = batch._replace(video=torch.where(batch.video > 0, 1 - batch.video, 0.0))
    assert far(embedded(method, changed), expected) > 1e-2, "the pictures count"


@pytest.mark.parametrize("limits", [{}, {"training_audio_tokens": 9, "training_video_tokens": 9}], ids=["longest", "limits"])
@pytest.mark.parametrize("form", FORMS)
def test_only_the_reference_form_counts_padding_in_training(form, limits):
    """It counts what the released code pads to: the longest clip of the batch, or a limit."""
    method, batch = build(form, **limits).train(), clips(9 - max(LENGTHS["audio"]) if limits else 0)
    linear, norm, expected = method.encode_audio[0], method.encode_audio[1], nn.BatchNorm1d(SMALL["encoder_hidden"])
    expected.load_state_dict(norm.state_dict())
    tokens = linear(batch.audio / 255 if form == "reference" else batch.audio)
    expected(tokens.flatten(0, 1) if form == "reference" else tokens[batch.audio_mask])
    method(batch, text())
    torch.testing.assert_close(norm.running_mean, expected.running_mean)
    torch.testing.assert_close(norm.running_var, expected.running_var)


def test_token_norm_is_the_batch_norm_of_the_real_tokens():
    torch.manual_seed(0)
    rows, real, own, plain = torch.randn(50, 6) * 3 + 1, torch.rand(50) > 0.4, TokenNorm(6), nn.BatchNorm1d(6)
    with torch.no_grad():
        own.weight.uniform_(0.5, 2), own.bias.normal_()
        plain.load_state_dict(own.state_dict())
    torch.testing.assert_close(own(rows, real.float())[real], plain(rows[real]))
    torch.testing.assert_close(own.state_dict(), plain.state_dict())
    torch.testing.assert_close(own.eval()(rows, real.float()), plain.eval()(rows))


def test_the_paper_form_scores_at_the_times_it_trains_with():
    method = build()
    assert far(trained_positions(method, clips()), embedded(method, clips())) == 0
    assert far(embedded(method, clips(start=3.3)), embedded(method, clips())) > 1e-3, "a later crop lies at its own seconds"


def test_the_reference_form_scores_at_token_numbers():
    method, every_second = build("reference"), {"audio": 1.0, "video": 1.0}
    assert far(trained_positions(method, clips(seconds=every_second)), embedded(method, clips(seconds=every_second))) == 0
    assert far(trained_positions(method, clips()), embedded(method, clips())) > 1e-3
    assert far(trained_positions(method, clips(start=4.0)), trained_positions(method, clips())) <= 1e-4, "time starts at the crop"


def test_pictures_are_scaled_a_token_at_a_time_or_over_time():
    batch = clips()
    one = torch.ones_like(batch.video_time)
    one[:, 1] = 5.0
    brighter = batch._replace(video=batch.video * one[..., None])
    assert far(embedded(build(), brighter), embedded(build(), batch)) <= 1e-5
    assert far(embedded(build("reference"), brighter), embedded(build("reference"), batch)) > 1e-3
    twice = batch._replace(video=2 * batch.video)
    assert far(embedded(build("reference"), twice), embedded(build("reference"), batch)) <= 1e-5


def test_the_reference_form_divides_audio_by_255_always():
    batch = clips()
    assert far(embedded(build(audio_scale=255.0), batch), embedded(build(), batch._replace(audio=batch.audio / 255))) <= 1e-6
    assert embedded(build("reference", audio_scale=255.0), batch).equal(embedded(build("reference"), batch))
    with pytest.raises(ValidationError, match="leave audio_scale out"):
        Tcaf.Settings(form="reference", audio_scale=2.0)


@pytest.mark.parametrize("short", [0, 256])
@pytest.mark.parametrize(("attention", "own", "other"), [("cross", False, True), ("self", True, False), ("full", True, True)])
def test_a_token_attends_to_what_the_mask_allows(monkeypatch, short, attention, own, other):
    monkeypatch.setattr("avgzsl_bench.methods._cross_attention.SHORT", short)
    torch.manual_seed(0)
    layer, tokens = Layer(16, 2, 8, 12, 0.0), torch.randn(2, 4 + 1 + 6, 16)
    names = torch.zeros(2, 11, dtype=torch.int32)
    spans = spans_of(attention, *names.long().split([4, 1, 6], 1))
    before = layer(tokens, spans, names)
    changed = tokens.clone()
    changed[:, 1] = torch.randn(16)  # a token of sound
    moved = (layer(changed, spans, names) - before).abs().amax((0, 2)) > 1e-6
    expected = torch.tensor([own] * 4 + [True] + [other] * 6)
    expected[1] = True  # itself, by the residual
    assert moved.equal(expected)


@pytest.mark.parametrize("short", [0, 256])
def test_a_clip_of_padding_alone_gives_numbers(monkeypatch, short):
    monkeypatch.setattr("avgzsl_bench.methods._cross_attention.SHORT", short)
    method, batch = build().train(), clips()
    silent = batch._replace(audio_mask=batch.audio_mask & torch.tensor([True, False, True, True])[:, None])
    terms = method(silent, text())
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters())


def test_dropout_of_tokens_spares_the_class_token():
    method, given = build(dropout_token=0.5).train(), []
    method.transformer[0].register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    method(clips(), text())
    sound, picture = LENGTHS["audio"][1], LENGTHS["video"][1]
    shares = [(part == 0).float().mean().item() for part in given[0].split([sound, 1, picture], 1)]
    assert shares == [pytest.approx(0.5, abs=0.15), 0, pytest.approx(0.5, abs=0.15)]


@pytest.mark.parametrize("form", FORMS)
def test_everything_in_the_joint_space_is_non_negative(form):
    method, outputs = build(form), []
    for head in (method.project_clip, method.decode_clip, method.project_text, method.decode_text):
        head.register_forward_hook(lambda module, given, output: outputs.append(output))
    method(clips(), text())
    assert len(outputs) == 5
    assert all((output >= 0).all() and (output > 0).any() for output in outputs)


@pytest.mark.parametrize("form", FORMS)
def test_text_statistics_follow_the_order_of_the_released_passes(form):
    """Texts of the batch, then those of all classes, then (reference form) those of the batch again."""
    method, batch, classes = build(form), clips(), text()
    linear, norm = method.project_text[:2]
    mean = norm.running_mean.clone()
    with torch.no_grad():
        own, every = (linear(texts).mean(0) for texts in (classes.vectors[batch.label, 0], classes.vectors[:, 0]))
        for turn in method.train().turns:
            method(batch, classes, turn)
    for seen in (own, every, own)[: 3 if form == "reference" else 2]:
        mean = 0.9 * mean + 0.1 * seen
    torch.testing.assert_close(norm.running_mean, mean)


def test_the_text_has_a_width_of_its_own():
    method = build()
    assert method.decode_clip[4].out_features == method.decode_text[0].out_features == TEXT
    assert method.prepare(None, text()).shape == (5, SMALL["joint_width"])


def test_eight_bit_audio_is_scaled_where_no_configuration_is_stated():
    recipe = published.recipe_for("tcaf", "vggsound", "c3d_vggish", "main", "paper")
    assert (recipe.source, recipe.settings) == ("default", {"audio_scale": 255.0})
    assert published.recipe_for("tcaf", "vggsound", "selavi", "cls", "paper") is None


def test_settings_of_a_wrong_kind_are_refused():
    with pytest.raises(ValidationError, match="time_width"):
        Tcaf.Settings(time_width=7)
    with pytest.raises(ValidationError, match="give both training_audio_tokens and training_video_tokens"):
        Tcaf.Settings(training_video_tokens=60)

"""The reference forms in float64 against figures that the released modules gave for weights and inputs made by formulas."""

from collections import defaultdict

import pytest
import torch
from torch import nn

from avgzsl_bench import losses
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.methods.avca import Avca
from avgzsl_bench.methods.devise import Devise

LABELS = torch.tensor([0, 3, 5, 5, 10, 2, 7, 1])
GROUPS = {
    "rec": ("reconstruct_text_video", "reconstruct_text_audio", "reconstruct_text_text"),
    "ct": ("decoded_audio", "decoded_video"),
    "w": ("text_audio", "audio_text", "text_video", "video_text"),
    "t": ("audio_text_audio", "video_text_video", "text_audio_text", "text_video_text"),
    "r": ("reconstruct_video", "reconstruct_audio", "video_to_text", "audio_to_text"),
}


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def wave(shape, frequency, phase):
    count = torch.Size(shape).numel()
    return torch.sin(frequency * torch.arange(count, dtype=torch.float64) + phase).view(shape)


def cosine_wave(shape, frequency, phase):
    return wave(shape, frequency, phase + torch.pi / 2)


def unit_rows(values):
    return nn.functional.normalize(values)


AUDIO, VIDEO = wave((8, 16), 0.11, 1).abs(), wave((8, 24), 0.13, 2).abs()
AUDIO_NEGATIVE, VIDEO_NEGATIVE = wave((8, 16), 0.19, 3).abs(), wave((8, 24), 0.23, 4).abs()
TEXT, TEXT_NEGATIVE = unit_rows(wave((8, 300), 0.17, 5)), unit_rows(wave((8, 300), 0.29, 6))
CLASSES = unit_rows(wave((11, 300), 0.31, 7))


@torch.no_grad()
def fill(method, amplitude=0.05):
    number = 0
    for module in method.modules():
        if isinstance(module, nn.Linear):
            number += 1
            module.weight.copy_(amplitude * wave(module.weight.shape, 0.37, number))
            if module.bias is not None:
                module.bias.copy_(0.1 * cosine_wave(module.bias.shape, 0.53, number))
        elif isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            number += 1
            module.weight.copy_(1 + 0.1 * wave(module.weight.shape, 0.71, number))
            module.bias.copy_(0.1 * cosine_wave(module.bias.shape, 0.29, number))
    return number


@pytest.mark.parametrize(
    ("normed", "logits", "expected"),
    [
        (
            False,
            (0.03973300890735955, -0.13772233727752412),
            {"devise": 1.4766546902958984, "ale": 0.4896164783280367, "sje": 0.28046151785150325},
        ),
        (
            True,
            (0.008136913491309378, -0.027883215445187112),
            {"devise": 1.054596115924043, "ale": 0.30888784749596593, "sje": 0.13923980164457425},
        ),
    ],
)
def test_ranking_losses(normed, logits, expected):
    for name, value in expected.items():
        settings = Devise.Settings(form="reference", norm_inputs=normed, classification_loss=name)
        method = Devise(settings, Shapes(audio=16, video=24, text=300))
        assert fill(method, amplitude=0.6) == 1
        batch, classes = Batch(LABELS, AUDIO, VIDEO), ClassText(CLASSES[:, None])
        clips, texts = method.embed(batch, method.prepare(None, classes))
        given = clips @ texts.T
        assert (given[0, 0].item(), given[7, 1].item()) == pytest.approx(logits, rel=1e-9)
        tolerance = 1e-7 if name == "ale" else 1e-9  # the released ALE keeps harmonic numbers in float32
        assert method(batch, classes)["classification"].item() == pytest.approx(value, rel=tolerance)


def test_ranks_of_violations():
    method = Devise(Devise.Settings(), Shapes(audio=16, video=24, text=300))
    fill(method, amplitude=0.6)
    clips, texts = method.embed(Batch(LABELS, AUDIO, VIDEO), CLASSES)
    loss = losses.make(losses.LossChoice(name="devise"))
    assert (loss.costs(clips @ texts.T, LABELS) > 0).sum(1).tolist() == [6, 6, 6, 6, 8, 10, 10, 10]


def build_avca(momentum):
    settings = Avca.Settings(form="reference", encoder_hidden=32, projector_hidden=32, batch_norm_momentum=momentum)
    method = Avca(settings, Shapes(audio=16, video=24, text=300))
    assert fill(method) == 30
    with torch.no_grad():
        method.positions.copy_(wave(method.positions.shape, 0.41, 31))
    return method.train()


def avca_inputs():
    rows = torch.arange(8)
    batch = Batch(rows, AUDIO, VIDEO, rows + 8, AUDIO_NEGATIVE, VIDEO_NEGATIVE)
    return batch, ClassText(torch.cat([TEXT, TEXT_NEGATIVE])[:, None])


def test_avca_terms():
    method = build_avca(0.1)
    outputs = defaultdict(list)
    for name in ("encode_audio", "encode_video", "attention", "project_audio", "project_video", "project_text"):
        getattr(method, name).register_forward_hook(
            lambda module, given, output, name=name: outputs[name].append(output.sum().item())
        )
    terms = method(*avca_inputs())
    figures = {name: sum(terms[term].item() for term in group) for name, group in GROUPS.items()}
    assert figures == pytest.approx(
        {
            "rec": 1.5058438609690068,
            "ct": 11.39081916666092,
            "w": 4.798749644506638,
            "t": 9.010089167199741,
            "r": 2.378787105909541,
        },
        rel=1e-9,
    )
    assert sum(figures.values()) == pytest.approx(29.08428894524585, rel=1e-9)
    assert {name: sums[0] for name, sums in outputs.items()} == pytest.approx(
        {
            "encode_audio": 1050.4665893644271,
            "encode_video": 1036.1280921478774,
            "attention": 2084.250922871355,
            "project_audio": 214.1201373155449,
            "project_video": 203.42465087026574,
            "project_text": 222.86090145835502,
        },
        rel=1e-9,
    )


@pytest.mark.parametrize(
    ("momentum", "audio", "video"),
    [(0.1, 19.27491042885189, 24.50278810700341), (0.99, 46.46189483563738, 510.57824257187985)],
)
def test_avca_after_a_step(momentum, audio, video):
    method = build_avca(momentum)
    batch, classes = avca_inputs()
    method(batch, classes)
    optimiser = torch.optim.Adam(method.parts()["all"], lr=1e-3, weight_decay=method.settings.weight_decay)
    torch.stack(list(method(batch, classes).values())).sum().backward()
    optimiser.step()
    method(batch, classes, "statistics")
    method.eval()
    own = method._clips(AUDIO, VIDEO)
    figures = [own.theta_audio.sum().item(), own.theta_video.sum().item()]
    figures.append(method.prepare(None, ClassText(CLASSES[:, None])).sum().item())
    assert figures == pytest.approx([audio, video, 28.222256246201642], rel=1e-6)

"""The reference form of AVCA in float64 against figures that the released modules gave for weights and inputs of formulas."""

from collections import defaultdict

import pytest
import torch
from formulas import AUDIO, CLASSES, VIDEO, fill, pairs, wave

from avgzsl_bench.contracts import ClassText, Shapes
from avgzsl_bench.methods.avca import Avca

pytestmark = pytest.mark.usefixtures("float64")

GROUPS = {
    "rec": ("reconstruct_text_video", "reconstruct_text_audio", "reconstruct_text_text"),
    "ct": ("decoded_audio", "decoded_video"),
    "w": ("text_audio", "audio_text", "text_video", "video_text"),
    "t": ("audio_text_audio", "video_text_video", "text_audio_text", "text_video_text"),
    "r": ("reconstruct_video", "reconstruct_audio", "video_to_text", "audio_to_text"),
}


def build_avca(momentum):
    settings = Avca.Settings(form="reference", encoder_hidden=32, projector_hidden=32, batch_norm_momentum=momentum)
    method = Avca(settings, Shapes(audio=16, video=24, text=300))
    assert fill(method) == 30
    with torch.no_grad():
        method.positions.copy_(wave(method.positions.shape, 0.41, 31))
    return method.train()


def test_avca_terms():
    method = build_avca(0.1)
    outputs = defaultdict(list)
    for name in ("encode_audio", "encode_video", "attention", "project_audio", "project_video", "project_text"):
        getattr(method, name).register_forward_hook(
            lambda module, given, output, name=name: outputs[name].append(output.sum().item())
        )
    terms = method(*pairs())
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
    batch, classes = pairs()
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

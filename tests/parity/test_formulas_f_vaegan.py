"""f-VAEGAN-D2's reference form in float64 against figures of the released networks for weights and inputs made by formulas."""

import pytest
import torch
from formulas import AUDIO, TEXT, VIDEO, cosine_wave, wave

from avgzsl_bench import layers
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.methods._generative import features
from avgzsl_bench.methods.f_vaegan_d2 import FVaeganD2

pytestmark = pytest.mark.usefixtures("float64")

FIGURES = {
    "real": -0.061781546715261884,
    "fake": -0.016065802939264316,
    "conditional_penalty": 5.347088345423014,
    "real_alone": -0.06119185611432767,
    "fake_alone": -0.05260771057394098,
    "unconditional_penalty": 9.094602375027135,
    "reconstruction": 223.0070997641214,
    "divergence": 0.3262245695447445,
    "generator": 3428.5302699918448,
}
GAN = 0.032051969456581786


class Given(layers.Noise):
    """A source of randomness that always gives the same numbers."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, like):
        assert len(like) == len(self.values)
        return self.values


@torch.no_grad()
def build():
    settings = FVaeganD2.Settings(
        form="reference", adversarial_weight=1e5, latent=10, generator_hidden=20, critic_hidden=32, encoder_hidden=14
    )
    method = FVaeganD2(settings, Shapes(audio=16, video=24, text=300))
    alone, trunk = method.critic_alone, method.encoder[0]
    linear = [method.critic[0], method.critic[2], alone[0], alone[2], method.generator[0], method.generator[2]]
    for number, layer in enumerate([*linear, trunk, method.mean, method.log_variance], 1):
        amplitude = 0.4 if layer in (method.critic[0], alone[0]) else 0.05
        layer.weight.copy_(amplitude * wave(layer.weight.shape, 0.37, number))
        layer.bias.copy_(0.1 * cosine_wave(layer.bias.shape, 0.53, number))
    method.noise = Given(wave((8, 10), 0.47, 8))
    method.encoder_noise = Given(wave((8, 10), 0.59, 9))
    method.shares = Given(wave((8, 1), 0.67, 10).abs())
    return method


def figures(method):
    batch = Batch(torch.arange(8), AUDIO, VIDEO)
    critics, makers = (method(batch, ClassText(TEXT[:, None]), turn) for turn in method.turns)
    clips, fake = features(batch), method.generate(method.noise.values, TEXT)
    found = {
        **{name: critics[name] for name in ("conditional_penalty", "unconditional_penalty")},
        **{name: makers[name] for name in ("reconstruction", "divergence")},
        "real": method.judge(clips, TEXT).mean(),
        "fake": method.judge(fake, TEXT).mean(),
        "real_alone": method.critic_alone(clips).mean(),
        "fake_alone": method.critic_alone(fake).mean(),
        "generator": sum(makers.values()),
    }
    return found, {**critics, **makers}


def test_figures_of_the_released_networks():
    found, terms = figures(build())
    assert {name: value.item() for name, value in found.items()} == pytest.approx(FIGURES, rel=1e-9)
    assert terms["conditional"].item() == pytest.approx(FIGURES["fake"] - FIGURES["real"], rel=1e-9)
    assert terms["unconditional"].item() == pytest.approx(FIGURES["fake_alone"] - FIGURES["real_alone"], rel=1e-9)
    assert terms["adversary"].item() == pytest.approx(1e5 * GAN, rel=1e-9)


@pytest.mark.parametrize(
    ("layer", "seen_in"), [("generator.0", "generator"), ("critic.0", "conditional_penalty"), ("mean", "divergence")]
)
def test_a_perturbed_weight_shows(layer, seen_in):
    method = build()
    with torch.no_grad():
        method.get_submodule(layer).weight[0, 0] += 1e-2
    assert figures(method)[0][seen_in].item() != pytest.approx(FIGURES[seen_in], rel=1e-7)

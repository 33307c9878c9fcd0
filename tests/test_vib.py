"""VIB-GZSL: its Gaussians against closed forms and other code, and what its losses are made of."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional as F

from avgzsl_bench import config, layers
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.methods.vib_gzsl import Gaussian, VibGzsl, log_likelihood, product_of_experts

SHAPES = Shapes(audio=5, video=7, text=6)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(seed, rows=3, latent=4):
    return Gaussian(random(rows, latent, seed=seed), random(rows, latent, seed=seed + 1))


def normal(given):
    return Normal(given.mean, torch.exp(given.log_variance / 2))


def test_the_divergence_is_kullback_and_leiblers():
    given = gaussian(0)
    prior = Normal(torch.zeros_like(given.mean), torch.ones_like(given.mean))
    expected = kl_divergence(Independent(normal(given), 1), Independent(prior, 1)).mean()
    assert given.divergence().item() == pytest.approx(expected.item(), rel=1e-12)
    assert Gaussian(torch.zeros(2, 3), torch.zeros(2, 3)).divergence() == 0


def test_the_product_is_that_of_the_densities():
    experts = [gaussian(0, 1, 1), gaussian(2, 1, 1)]
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)[:, None]
    densities = [normal(expert).log_prob(grid) for expert in experts] + [Normal(0.0, 1.0).log_prob(grid)]
    weight = torch.stack(densities).sum(0).softmax(0)
    mean = (weight * grid).sum()
    joint = product_of_experts(*experts)
    assert joint.mean.item() == pytest.approx(mean.item(), rel=1e-9)
    assert joint.log_variance.exp().item() == pytest.approx((weight * (grid - mean).square()).sum().item(), rel=1e-9)


def test_experts_by_hand():
    sure, unsure = (
        Gaussian(torch.tensor([[3.0]]), torch.tensor([[-math.log(4.0)]])),
        Gaussian(torch.ones(1, 1), torch.zeros(1, 1)),
    )
    joint = product_of_experts(sure, unsure)
    assert joint.mean.item() == pytest.approx((3 * 4 + 1 * 1) / 6)  # precisions 4, 1 and the prior's 1
    assert joint.log_variance.item() == pytest.approx(-math.log(6))


def test_the_likelihood_is_that_of_unit_gaussians():
    points, centres = random(5, 4), random(3, 4, seed=1)
    expected = Independent(Normal(centres, 1.0), 1).log_prob(points[:, None])
    torch.testing.assert_close(log_likelihood(points, centres).log_softmax(1), expected.log_softmax(1))
    assert log_likelihood(points, centres).argmax(1).equal(torch.cdist(points, centres).argmin(1))  # what is scored


def inputs(count=12):
    label = torch.arange(count) % 4
    return Batch(label, random(count, 5), random(count, 7, seed=1)), ClassText(random(4, 2, 6, seed=2))


def build(**settings):
    torch.manual_seed(0)
    method = VibGzsl(VibGzsl.Settings(**{"hidden": 8, "latent": 3, "dropout": 0} | settings), SHAPES).double()
    layers.reseed(method, "test")
    return method


def test_terms_are_what_the_docstring_says():
    method, (batch, classes) = build(bottleneck_weight=0.5).eval(), inputs()  # in evaluation nothing is drawn
    texts = classes.vectors.mean(1)
    audio, video, text = method.encode_audio(batch.audio), method.encode_video(batch.video), method.encode_text(texts)
    joint = product_of_experts(audio, video)
    expected = {"reconstruction_text": F.mse_loss(method.decode(text.mean), texts)}
    for name, given in {"joint": joint, "audio": audio, "video": video}.items():
        logits = -torch.cdist(given.mean, text.mean).square() / 2
        expected[f"classification_{name}"] = F.cross_entropy(logits, batch.label)
        expected[f"reconstruction_{name}"] = F.mse_loss(method.decode(given.mean), texts[batch.label])
    for name, given in {"joint": joint, "audio": audio, "video": video, "text": text}.items():
        prior = Normal(torch.zeros_like(given.mean), 1.0)
        expected[f"bottleneck_{name}"] = 0.5 * kl_divergence(normal(given), prior).sum(1).mean()
    torch.testing.assert_close(method(batch, classes), expected, rtol=1e-9, atol=0)
    clips, rows = method.embed(batch, method.prepare(None, classes))
    assert clips.equal(joint.mean)
    assert rows.equal(text.mean)


def test_training_draws_and_scoring_does_not():
    method, (batch, classes) = build().train(), inputs()
    given = Gaussian(torch.full((4000, 3), 2.0), torch.full((4000, 3), math.log(0.25)))
    drawn = method._draw(given)
    assert not drawn.equal(method._draw(given))
    assert drawn.mean().item() == pytest.approx(2, abs=5 * 0.5 / 12_000**0.5)
    assert drawn.std().item() == pytest.approx(0.5, rel=0.05)
    method.eval()
    assert method._draw(given) is given.mean
    assert method.scores(batch, method.prepare(None, classes)).equal(method.scores(batch, method.prepare(None, classes)))


def test_the_bottleneck_narrows():
    """Trained under a strong bottleneck, the representations say less than under none."""
    batch, classes = inputs()
    told = {}
    for weight in (0.0, 10.0):
        method = build(bottleneck_weight=weight).train()
        optimiser = torch.optim.Adam(method.parameters(), lr=1e-2)
        for _ in range(60):
            optimiser.zero_grad()
            torch.stack(list(method(batch, classes).values())).sum().backward()
            optimiser.step()
        told[weight] = product_of_experts(method.encode_audio(batch.audio), method.encode_video(batch.video)).divergence().item()
    assert told[10.0] < 0.5 * told[0.0]


@pytest.mark.parametrize("dataset", ["ucf", "vggsound", "activitynet"])
@pytest.mark.parametrize("preset", ["main", "cls"])
def test_recipes_say_that_they_are_ours(dataset, preset):
    assert config.resolve("vib_gzsl", dataset, features=preset)[0].recipe == "li2023 (default)"

"""Hyper-multiple: AVCA with one more term, in which the curvature of its paper cancels."""

import pytest
import torch
from torch.nn import functional as F

from avgzsl_bench import config, layers, published
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.avca import RELEASED_NAMES, Avca
from avgzsl_bench.methods.hyper_multiple import HyperMultiple, structure_gap

SMALL = {"width": 8, "joint_width": 4, "encoder_hidden": 8, "projector_hidden": 8}
SHAPES = Shapes(audio=5, video=7, text=6)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def project(points, curvature):
    """Into the ball of radius 1 / √c, as the hyperbolic toolbox of the released code does."""
    norm = points.norm(dim=1, keepdim=True).clamp_min(1e-5)
    limit = (1 - 1e-3) / curvature**0.5
    return torch.where(norm > limit, points / norm * limit, points)


def logarithm_at_centre(points, curvature):
    norm = points.norm(dim=1, keepdim=True).clamp_min(1e-5)
    scaled = curvature**0.5 * norm
    return torch.atanh(scaled.clamp(-1 + 1e-5, 1 - 1e-5)) / scaled * points


def hyperbolic_gap(one, other, curvature):
    """The released term: cosines, divided by plain lengths, of the points of both views in the tangent space."""
    tangents = [logarithm_at_centre(project(points, curvature), curvature) for points in (one, other)]
    first, second = (points / points.norm(dim=1)[:, None] for points in tangents)
    return F.mse_loss(first @ first.T, second @ second.T), tangents[0]


def views():
    """Encoded features as a ReLU leaves them."""
    return [random(12, 30, seed=seed).relu().requires_grad_() for seed in (0, 1)]


@pytest.mark.parametrize("curvature", [0.01, 0.15, 0.46, 5.0, "a clip's own"])
def test_the_curvature_cancels(curvature):
    one, other = views()
    given = 0.05 + random(12, 1, seed=3).sigmoid() if isinstance(curvature, str) else torch.tensor(curvature, dtype=torch.double)
    given = given.requires_grad_()
    released, points = hyperbolic_gap(one, other, given)
    *gradients, to_curvature = torch.autograd.grad(released, (one, other, given))
    own = structure_gap(one, other)
    assert own.item() > 1e-3
    assert abs(released - own).item() <= 1e-16
    for theirs, ours in zip(gradients, torch.autograd.grad(own, (one, other)), strict=True):
        assert (theirs - ours).norm() <= 1e-13 * ours.norm()
    assert to_curvature.abs().max() <= 1e-15
    assert (points - one).abs().max() > 1e-2  # the map does move the points


def test_the_gap_by_hand():
    apart, alike = torch.eye(2), torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    assert structure_gap(apart, alike).item() == pytest.approx(0.5)  # two of four cosines are 0 and 1
    assert structure_gap(apart, 7 * apart).item() == pytest.approx(0)


def test_a_row_of_zeros_is_no_nan():
    one, other = views()
    dead = one * (torch.arange(12) > 0)[:, None]
    assert hyperbolic_gap(dead, other, torch.tensor(0.01))[0].isnan()  # as released
    gap = structure_gap(dead, other)
    gap.backward()
    assert gap.isfinite()
    assert one.grad.isfinite().all()


def clips(count=12):
    row = torch.arange(count) % 4
    audio, video = random(count, SHAPES.audio), random(count, SHAPES.video, seed=1)
    return Batch(row, audio, video, (row + 1) % 4, audio.roll(1, 0), video.roll(1, 0)), ClassText(random(4, 3, SHAPES.text))


def build(kind, **settings):
    torch.manual_seed(0)
    method = kind(kind.Settings(**SMALL, **settings), SHAPES).double()
    layers.reseed(method, "test")
    return method.train()


@pytest.mark.parametrize("form", ["paper", "reference"])
def test_the_other_terms_are_those_of_avca(form):
    dropouts = {"form": form, "dropout_encoder": 0.3, "dropout_projector": 0.2, "dropout_decoder": 0.1}
    hyper, avca = build(HyperMultiple, alignment_weight=0.5, **dropouts), build(Avca, **dropouts)
    assert hyper.turns == avca.turns
    outputs = {name: [] for name in ("encode_audio", "encode_video")}
    for name, seen in outputs.items():
        getattr(hyper, name).register_forward_hook(lambda module, given, output, seen=seen: seen.append(output))
    terms, expected = hyper(*clips()), avca(*clips())
    added = {"alignment": 0, "alignment_negative": 1}
    assert terms.keys() == expected.keys() | added.keys()
    assert all(terms[name].equal(value) for name, value in expected.items())
    for name, turn in added.items():
        assert terms[name].item() == 0.5 * structure_gap(outputs["encode_video"][turn], outputs["encode_audio"][turn]).item() > 0
    assert all(torch.equal(*pair) for pair in zip(hyper.buffers(), avca.buffers(), strict=True))


def test_released_weights_may_hold_the_network_of_curvatures():
    method, state = build(HyperMultiple), build(Avca).state_dict()
    names = {own: theirs for theirs, own in RELEASED_NAMES.items()}
    released = {}
    for name, value in state.items():
        prefix = max((own for own in names if name.startswith(own)), key=len)
        released[names[prefix] + name.removeprefix(prefix)] = value + 1
    method.load_released({**released, "fusenet1.weight": random(2, 16), "fusenet1.bias": random(2)})
    assert all(method.state_dict()[name].equal(value + 1) for name, value in state.items())
    with pytest.raises(AvgzslError, match=r"unknown: fusenet3\.weight"):
        method.load_released({**released, "fusenet3.weight": random(2)})


@pytest.mark.parametrize("dataset", ["ucf", "vggsound", "activitynet"])
@pytest.mark.parametrize(
    ("preset", "audio", "video", "count"), [("main", 512, 512, 1_693_108), ("cls", 128, 4096, 3_331_508)]
)  # AVCA's own
def test_recipes_are_those_of_avca_and_the_weight(dataset, preset, audio, video, count):
    own, avca = (config.resolve(name, dataset, features=preset)[0] for name in ("hyper_multiple", "avca"))
    assert own.recipe == "hong2023 (script)"
    assert own.settings == {**avca.settings, "alignment_weight": 1e-3}
    stated = [recipe.settings for recipe in published.recipes() if recipe.method == "hyper_multiple"]
    assert all(recipe["alignment_weight"] == 1e-3 for recipe in stated)
    method = HyperMultiple(HyperMultiple.Settings(**own.settings), Shapes(audio=audio, video=video, text=300))
    assert sum(parameter.numel() for parameter in method.parameters()) == count

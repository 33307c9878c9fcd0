"""ClipClap: against its formulas written out over the names of the released weights, and at its published size."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from avgzsl_bench import config
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.clipclap import ClipClap

SHAPES = Shapes(audio=5, video=7, text=6)
LAYERS = {
    "O_enc": [(12, 9)],
    "W_enc": [(6, 9)],
    "O_proj": [(9, 9), (9, 4)],
    "W_proj": [(9, 4)],
    "D_o": [(4, 9), (9, 9)],
    "D_w": [(4, 9)],
}  # inputs and outputs of every layer, as released, at small widths
WIDTHS = {"width": 9, "joint_width": 4}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def released():
    state = {}
    for name, sizes in LAYERS.items():
        for place, (inputs, outputs) in zip((0, 4), sizes, strict=False):
            seed = len(state)
            state[f"{name}.fc.{place}.weight"] = random(outputs, inputs, seed=seed)
            state[f"{name}.fc.{place}.bias"] = random(outputs, seed=seed + 1)
            state[f"{name}.fc.{place + 1}.weight"] = random(outputs, seed=seed + 2)
            state[f"{name}.fc.{place + 1}.bias"] = random(outputs, seed=seed + 3)
            state[f"{name}.fc.{place + 1}.running_mean"] = random(outputs, seed=seed + 4)
            state[f"{name}.fc.{place + 1}.running_var"] = random(outputs, seed=seed + 5).exp()
            state[f"{name}.fc.{place + 1}.num_batches_tracked"] = torch.tensor(3)
    return state


def network(state, name, values, training):
    """One of the six networks, by the names of the release."""
    for place in (0, 4)[: len(LAYERS[name])]:
        values = F.linear(values, *(state[f"{name}.fc.{place}.{part}"] for part in ("weight", "bias")))
        names = ("running_mean", "running_var", "weight", "bias")
        values = F.batch_norm(values, *(state[f"{name}.fc.{place + 1}.{part}"] for part in names), training=training).relu()
    return values


def inputs(count=10):
    label = torch.arange(count) % 4
    return Batch(label, random(count, 5, seed=50), random(count, 7, seed=51)), ClassText(random(4, 1, 6, seed=52))


def build(**settings):
    method = ClipClap(ClipClap.Settings(dropout=0, **WIDTHS, **settings), SHAPES).double()
    method.load_released(released())
    return method.train()


def by_hand(state, batch, texts):
    def run(name, values):
        return network(state, name, values, True)

    theta = run("O_proj", run("O_enc", torch.cat([batch.video, batch.audio], 1)))
    encoded = run("W_enc", texts[batch.label])
    theta_text = run("W_proj", encoded)
    logits = theta @ run("W_proj", run("W_enc", texts)).T
    return {
        "classification": (logits.logsumexp(1) - logits[torch.arange(len(logits)), batch.label]).mean(),
        "reconstruction": (run("D_o", theta) - encoded).square().mean(),
        "reconstruction_text": (run("D_w", theta_text) - encoded).square().mean(),
        "regression": (theta - theta_text).square().mean(),
    }


@pytest.mark.parametrize("form", ["paper", "reference"])
def test_terms_and_statistics_are_those_of_the_released_formulas(form):
    method, state, (batch, classes) = build(form=form), released(), inputs()
    texts = classes.vectors[:, 0]
    terms = method(batch, classes)
    torch.testing.assert_close(terms, by_hand(state, batch, texts), rtol=1e-12, atol=0)  # which moves the statistics of `state`
    for turn in method.turns[1:]:
        assert method(batch, classes, turn) == {}
        network(state, "O_proj", network(state, "O_enc", torch.cat([batch.video, batch.audio], 1), True), True)
        network(state, "W_proj", network(state, "W_enc", texts[batch.label], True), True)
    method.eval()
    clips, rows = method.embed(batch, method.prepare(None, classes))
    encoded = network(state, "O_enc", torch.cat([batch.video, batch.audio], 1), False)
    torch.testing.assert_close(clips, network(state, "O_proj", encoded, False))
    torch.testing.assert_close(rows, network(state, "W_proj", network(state, "W_enc", texts, False), False))


def test_the_unused_pass_is_the_reference_forms_only():
    assert build().turns == ("all",)
    assert build(form="reference").turns == ("all", "statistics")
    assert list(build(form="reference").parts()) == ["all"]


@pytest.mark.parametrize(
    ("weight", "terms"),
    [
        ("classification_weight", {"classification"}),
        ("reconstruction_weight", {"reconstruction", "reconstruction_text"}),
        ("regression_weight", {"regression"}),
    ],
)
def test_each_loss_has_its_weight(weight, terms):
    whole, weighted = (build(**settings)(*inputs()) for settings in ({}, {weight: 0.25}))
    for name, value in whole.items():
        assert weighted[name].item() == (0.25 if name in terms else 1) * value.item() > 0


def test_the_classification_loss_can_be_another():
    assert build(classification_loss="devise")(*inputs())["classification"] != build()(*inputs())["classification"]


def test_the_biases_of_its_reference():
    assert len(ClipClap.reference_biases) == 76
    assert ClipClap.reference_biases[[0, 1, -1]] == pytest.approx([0, 1 / 15, 5])
    assert np.all(np.diff(ClipClap.reference_biases) > 0)


@pytest.mark.parametrize(("dataset", "epochs", "rate"), [("ucf", 20, 7e-5), ("vggsound", 15, 1e-4), ("activitynet", 15, 1e-4)])
def test_recipes_build_the_published_size(dataset, epochs, rate):
    job = config.resolve("clipclap", dataset, features="clip_clap", split="cls")[0]
    assert job.recipe == "kurzendorfer2024 (script)"
    stated = (
        job.settings["epochs"],
        job.settings["learning_rate"],
        job.settings["batch_size"],
        job.settings["batches_per_epoch"],
    )
    assert stated == (epochs, rate, 64, 300)
    method = ClipClap(ClipClap.Settings(**job.settings), Shapes(audio=1024, video=512, text=512 + 1024))
    sizes = [(1536, 512), (1536, 512), (512, 512), (512, 64), (512, 64), (64, 512), (512, 512), (64, 512)]
    count = sum(inputs * outputs + 3 * outputs for inputs, outputs in sizes)  # a weight; a bias; scale and shift
    assert sum(parameter.numel() for parameter in method.parameters()) == count == 2_237_824


def test_any_width_of_text_will_do_but_released_weights_must_fit():
    ClipClap(ClipClap.Settings(**WIDTHS), SHAPES._replace(text=3))
    method = ClipClap(ClipClap.Settings(**WIDTHS), SHAPES._replace(text=3)).double()
    with pytest.raises(AvgzslError, match=r"of another shape: encode_text\.0\.weight"):
        method.load_released(released())
    with pytest.raises(AvgzslError, match=r"unknown: X_enc\.fc\.0\.weight"):
        build().load_released({**released(), "X_enc.fc.0.weight": random(2)})

"""What is special to the methods ported beside AVCA: ALE, SJE, APN, CJME and AVGZSLNet."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from avgzsl_bench import config, layers, losses, plugins, published
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.methods.apn import Apn
from avgzsl_bench.methods.avgzslnet import Avgzslnet
from avgzsl_bench.methods.cjme import Cjme

SHAPES = Shapes(audio=5, video=7, text=6, classes=4, texts=3)
REAL = ("ucf", "vggsound", "activitynet")
PORTED = ("devise", "ale", "sje", "apn", "cjme", "avgzslnet")
SMALL = {"joint_width": 4, "encoder_hidden": 8, "text_hidden": 8}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clips(count=12):
    row = torch.arange(count) % SHAPES.classes
    audio, video = random(count, SHAPES.audio), random(count, SHAPES.video, seed=1)
    return Batch(row, audio, video, (row + 1) % SHAPES.classes, audio.roll(1, 0), video.roll(1, 0))


CLASSES = ClassText(random(SHAPES.classes, SHAPES.texts, SHAPES.text, seed=9))


def build(kind, **settings):
    torch.manual_seed(0)
    method = kind(kind.Settings(**settings), SHAPES)
    layers.reseed(method, "test")
    return method


@pytest.mark.parametrize("name", ["devise", "ale", "sje"])
def test_bilinear_methods_differ_in_their_default_loss_alone(name):
    kind = plugins.load("methods", name)
    settings = kind.Settings()
    assert settings.classification_loss.name == name
    devise = plugins.load("methods", "devise")
    assert list(kind.Settings.model_fields) == list(devise.Settings.model_fields)
    method, same = build(kind), build(devise, classification_loss=name)
    assert method(clips(), CLASSES)["classification"].equal(same(clips(), CLASSES)["classification"])
    assert method.version == 1


def test_apn_starts_from_small_positive_weights():
    method = build(Apn)
    for linear in (method.project, method.prototypes):
        assert 0 <= linear.weight.min() < linear.weight.max() < 2e-4
    assert not method.project.weight.equal(method.prototypes.weight)


@pytest.mark.parametrize("form", ["paper", "reference"])
def test_apn_prototypes_change_no_score(form):
    method = build(Apn, form=form)
    rows = method.prepare(None, CLASSES)
    before = method.scores(clips(), rows)
    with torch.no_grad():
        method.prototypes.weight.add_(1)
    assert method.scores(clips(), rows).equal(before)
    grown = method(clips(), CLASSES)["prototype_regression"]
    assert grown > 10 * method(clips(), CLASSES)["regression"]


def test_apn_softmax_is_taken_once_or_twice():
    batch = clips()
    logits = {form: [] for form in ("paper", "reference")}
    for form, seen in logits.items():
        method = build(Apn, form=form)
        method.classification_loss = lambda values, rows, texts, seen=seen: seen.append(values) or values.sum()
        method(batch, CLASSES)
    for raw, probabilities in zip(logits["paper"], logits["reference"], strict=True):
        torch.testing.assert_close(raw.softmax(1), probabilities)


@pytest.fixture
def cjme():
    return {form: build(Cjme, form=form, **SMALL) for form in ("paper", "reference")}


def test_cjme_gates_in_training(cjme):
    """The reference gate meets every clip's losses, which leaves its mean; the paper's meets those of its own clip."""
    batch, seen = clips(), {}
    for form, method in cjme.items():
        for name in ("embed_audio", "embed_video", "embed_text", "gate"):
            getattr(method, name).register_forward_hook(
                lambda module, given, output, key=(form, name): seen.setdefault(key, []).append(output)
            )
        composite = method.train()(batch, CLASSES)["composite"]
        gate = seen[form, "gate"][0][:, 0]
        text = seen[form, "embed_text"][0]
        audio, video = (
            (1 + F.pairwise_distance(text, near) - F.pairwise_distance(text, far)).clamp(min=0)
            for near, far in (seen[form, "embed_audio"], seen[form, "embed_video"])
        )
        expected = {
            "paper": ((1 - gate) * audio + gate * video).mean(),
            "reference": (1 - gate.mean()) * audio.mean() + gate.mean() * video.mean(),
        }
        assert abs(expected["paper"] - expected["reference"]) > 1e-4
        torch.testing.assert_close(composite, expected[form])


def test_cjme_gates_in_scoring(cjme):
    batch = clips()
    for form, method in cjme.items():
        rows = method.eval().prepare(None, CLASSES)
        gate = method.gate(torch.cat([batch.audio, batch.video], 1))
        assert 0 < (gate >= 0.5).sum() < len(gate)  # both modalities are chosen
        alone = method.scores_by_modality(batch, rows)
        weight = gate if form == "paper" else gate.round()
        torch.testing.assert_close(method.scores(batch, rows), (1 - weight) * alone["audio"] + weight * alone["video"])
    clips_space, texts = cjme["reference"].embed(batch, rows)
    torch.testing.assert_close(-torch.cdist(clips_space, texts), cjme["reference"].scores(batch, rows))


def test_cjme_gate_is_told_by_entropies():
    method = build(Cjme, joint_width=2)
    texts = torch.eye(2)
    sure, unsure, nearly = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[0.3, 0.0]])
    assert method._better(sure, unsure, texts).tolist() == [0]
    assert method._better(unsure, sure, texts).tolist() == [1]
    assert method._better(nearly, unsure, texts).tolist() == [0.5]
    strict = build(Cjme, joint_width=2, entropy_gap=0.0)
    assert strict._better(nearly, unsure, texts).tolist() == [0]


def test_cjme_attention_target_carries_no_gradient(cjme):
    method = cjme["paper"].train()
    method(clips(), CLASSES)["attention"].backward()
    reached = {name.partition(".")[0] for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert reached == {"gate"}


def test_avgzslnet_sums_two_distances():
    method = build(Avgzslnet, **SMALL).eval()
    rows = method.prepare(None, CLASSES)
    alone = method.scores_by_modality(clips(), rows)
    assert not alone["audio"].equal(alone["video"])
    assert method.scores(clips(), rows).equal(alone["audio"] + alone["video"])
    middle, texts = method.embed(clips(), rows)
    bound = (alone["audio"] + alone["video"]) / 2  # triangle inequality: the middle lies at most as far as the mean distance
    assert (-torch.cdist(middle, texts) >= bound - 1e-5).all()


def test_avgzslnet_triplets_are_swappable():
    method = build(Avgzslnet, **SMALL, dropout_encoder=0, dropout_decoder=0).eval()
    wide = build(Avgzslnet, **SMALL, dropout_encoder=0, dropout_decoder=0, triplet_loss={"name": "triplet", "margin": 50}).eval()
    one, other = method(clips(), CLASSES), wide(clips(), CLASSES)
    changed = {name for name in one if not one[name].equal(other[name])}
    assert changed == {"decoded_audio", "decoded_video", "text_audio", "audio_text", "text_video", "video_text"}
    assert losses.make(wide.settings.triplet_loss).settings.margin == 50


def test_every_script_has_its_recipe():
    stated = {(r.method, r.dataset, r.features, r.split) for r in published.recipes() if r.key == "mercea2022"}
    places = (("selavi", "main"), ("c3d_vggish", "cls"))
    assert stated >= {(name, dataset, *place) for name, dataset, place in product(PORTED, REAL, places)}


@pytest.mark.parametrize("dataset", REAL)
@pytest.mark.parametrize(
    ("name", "main", "cls"),
    [
        ("ale", 307_200, 1_267_200),
        ("sje", 307_200, 1_267_200),
        ("apn", 614_400, 2_534_400),
        ("cjme", 1_299_157, 4_585_557),
        ("avgzslnet", 1_319_872, 4_596_672),
    ],
)
def test_recipes_build_the_published_sizes(dataset, name, main, cls):
    kind = plugins.load("methods", name)
    for preset, audio, video, count in (("main", 512, 512, main), ("cls", 128, 4096, cls)):
        job = config.resolve(name, dataset, features=preset)[0]
        method = kind(kind.Settings(**job.settings), Shapes(audio=audio, video=video, text=300))
        assert sum(parameter.numel() for parameter in method.parameters()) == count
        assert job.recipe == "mercea2022 (script)"


@pytest.mark.parametrize("name", PORTED)
def test_every_paper_is_cited(name):
    key = plugins.load("methods", name).paper
    paper = next(paper for paper in published.papers() if paper.key == key)
    assert f"{{{key}," in paper.citation
    assert str(paper.year) in key

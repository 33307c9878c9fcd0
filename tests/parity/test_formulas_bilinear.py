"""DeViSE, ALE, SJE, APN, CJME and AVGZSLNet in float64 against figures of the released modules for formula-made inputs."""

from collections import defaultdict

import pytest
from formulas import AUDIO, CLASSES, LABELS, VIDEO, fill, pairs

from avgzsl_bench import losses, plugins
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.methods.apn import Apn
from avgzsl_bench.methods.avgzslnet import Avgzslnet
from avgzsl_bench.methods.cjme import Cjme
from avgzsl_bench.methods.devise import Devise

pytestmark = pytest.mark.usefixtures("float64")

SHAPES = Shapes(audio=16, video=24, text=300)
CLASS_TEXT = ClassText(CLASSES[:, None])
NEAR = {"rel": 1e-9}


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
        kind = plugins.load("methods", name)
        method = kind(kind.Settings(form="reference", norm_inputs=normed), SHAPES)
        assert fill(method, amplitude=0.6) == 1
        clips, texts = method.embed(Batch(LABELS, AUDIO, VIDEO), method.prepare(None, CLASS_TEXT))
        given = clips @ texts.T
        assert (given[0, 0].item(), given[7, 1].item()) == pytest.approx(logits, **NEAR)
        tolerance = 1e-7 if name == "ale" else 1e-9  # the released ALE keeps harmonic numbers in float32
        loss = method(Batch(LABELS, AUDIO, VIDEO), CLASS_TEXT)["classification"]
        assert loss.item() == pytest.approx(value, rel=tolerance)


def test_ranks_of_violations():
    method = Devise(Devise.Settings(), SHAPES)
    fill(method, amplitude=0.6)
    clips, texts = method.embed(Batch(LABELS, AUDIO, VIDEO), CLASSES)
    loss = losses.make(losses.LossChoice(name="devise"))
    assert (loss.costs(clips @ texts.T, LABELS) > 0).sum(1).tolist() == [6, 6, 6, 6, 8, 10, 10, 10]


@pytest.mark.parametrize(
    ("normed", "loss", "probability", "scored", "prototype"),
    [
        (False, 26.969699810887946, 0.09688798926400155, 2.3524815148845004, 3.662218239082607),
        (True, 5.91677183041242, 0.09213161583534926, 0.4817641327177412, None),
    ],
)
def test_apn(normed, loss, probability, scored, prototype):
    method = Apn(Apn.Settings(form="reference", norm_inputs=normed), SHAPES)
    assert fill(method, amplitude=0.6) == 2
    batch = Batch(LABELS, AUDIO, VIDEO)
    assert sum(method(batch, CLASS_TEXT).values()).item() == pytest.approx(loss, **NEAR)
    clips, texts = method.embed(batch, method.prepare(None, CLASS_TEXT))
    assert clips[0, 0].item() == pytest.approx(scored, **NEAR)
    assert (clips @ texts.T).softmax(1)[0, 0].item() == pytest.approx(probability, **NEAR)
    if prototype:
        assert method.prototypes(method._features(batch))[0, 0].item() == pytest.approx(prototype, **NEAR)


def record(method, *names):
    """Every output of these parts, in the order of the passes."""
    outputs = defaultdict(list)
    for name in names:
        getattr(method, name).register_forward_hook(lambda module, given, output, name=name: outputs[name].append(output))
    return outputs


def build_cjme(form):
    method = Cjme(Cjme.Settings(form=form, encoder_hidden=32), SHAPES)
    assert fill(method, others={3: 0.1, 6: 0.4, 9: 0.2, 11: 0.5}) == 11
    return method.train()


def cjme_terms(method):
    """The figures stand for candidate classes that are not those of the clips: they take the place of the third pass."""
    texts = iter([None, None, CLASSES])
    hook = method.embed_text.register_forward_pre_hook(lambda module, given: next(texts))
    terms = method(*pairs())
    hook.remove()
    return terms


def test_cjme():
    method = build_cjme("reference")
    outputs = record(method, "embed_audio", "embed_video", "embed_text", "gate")
    terms = {name: term.item() for name, term in cjme_terms(method).items()}
    assert terms == pytest.approx(
        {"composite": 1.669146491504203, "audio_video": 0.35451545625979164, "attention": 0.1823327712690725}, **NEAR
    )
    assert sum(terms.values()) == pytest.approx(2.205994719033067, **NEAR)
    (audio, far_audio), (video, far_video) = outputs["embed_audio"], outputs["embed_video"]
    text, _, texts = outputs["embed_text"]
    sums = [part.sum().item() for part in (audio, video, text, texts)]
    assert sums == pytest.approx([168.036696293639, 109.782486961587, 71.888689715383, 99.831637952333], **NEAR)
    assert method._triplets(text, audio, far_audio).mean().item() == pytest.approx(1.862597672926242, **NEAR)
    assert method._triplets(text, video, far_video).mean().item() == pytest.approx(1.4993704500182579, **NEAR)
    assert method._better(audio, video, texts).tolist() == [0.5, 0, 0, 0, 0, 0.5, 0.5, 1]
    gates = [0.7236531087, 0.2204864864, 0.3512365654, 0.8915877151, 0.0928473584, 0.9631160953, 0.0326527934, 0.9851397622]
    assert outputs["gate"][0].flatten().tolist() == pytest.approx(gates, abs=1e-10)


def test_cjme_in_evaluation():
    method = build_cjme("reference")
    cjme_terms(method)
    own = method.eval()._clips(Batch(audio=AUDIO, video=VIDEO))
    sums = [own.audio.sum().item(), own.video.sum().item(), method.prepare(None, CLASS_TEXT).sum().item()]
    assert sums == pytest.approx([20.396276213227, 45.833729659886, 25.420703395735], **NEAR)
    assert own.gate.tolist() == [[0.0]] * 8


def test_cjme_forms_differ_by_the_broadcast_gate_alone():
    reference, paper = cjme_terms(build_cjme("reference")), cjme_terms(build_cjme("paper"))
    assert reference["composite"].item() == pytest.approx(1.669146491504203, **NEAR)
    assert paper["composite"].item() == pytest.approx(2.178877156046736, **NEAR)
    assert all(paper[name].equal(reference[name]) for name in ("audio_video", "attention"))


def test_avgzslnet():
    settings = Avgzslnet.Settings(encoder_hidden=32, decoder_hidden=12, dropout_encoder=0, dropout_decoder=0)
    method = Avgzslnet(settings, SHAPES)
    assert fill(method) == 12
    terms = {name: term.item() for name, term in method.train()(*pairs()).items()}
    assert sum(terms.values()) == pytest.approx(10.971100736741043, **NEAR)
    rebuilt = sum(terms.pop(f"reconstruct_{name}") for name in ("text", "audio", "video"))
    assert rebuilt == pytest.approx(4.239402677892819, **NEAR)
    assert terms == pytest.approx(
        {
            "decoded_audio": 1.0326520490713542,
            "decoded_video": 1.051654744266045,
            "text_audio": 1.621244258863955,
            "audio_text": 0.994978024104276,
            "text_video": 1.04636478377733,
            "video_text": 0.9848041987652646,
        },
        **NEAR,
    )
    method.eval()
    embedded = method.embed_audio(AUDIO), method.embed_video(VIDEO), method.prepare(None, CLASS_TEXT)
    sums = [part.sum().item() for part in embedded]
    assert sums == pytest.approx([-1.977067923569736, 2.8586902759381956, -3.607074972173211], **NEAR)

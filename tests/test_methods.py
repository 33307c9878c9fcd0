"""What is special to each built-in method, and that every trained one stacks; the conformance kit checks the rest."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from avgzsl_bench import config, layers, plugins, published
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.chance import Chance
from avgzsl_bench.methods.constant import Constant
from avgzsl_bench.methods.eszsl import Eszsl
from avgzsl_bench.methods.kda import Kda
from avgzsl_bench.methods.raw_similarity import RawSimilarity

SHAPES = Shapes(audio=5, video=7, text=6, classes=4, texts=3)
REAL = ("ucf", "vggsound", "activitynet")
SMALL = {"width": 8, "joint_width": 4, "encoder_hidden": 8, "projector_hidden": 8, "video_hidden": 9}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clips(count=12, seed=0, temporal=False):
    if temporal:
        return sequences(count, seed)
    row = torch.arange(count) % SHAPES.classes
    audio, video = random(count, SHAPES.audio, seed=seed), random(count, SHAPES.video, seed=seed + 1)
    return Batch(row, audio, video, (row + 1) % SHAPES.classes, audio.roll(1, 0), video.roll(1, 0))


def sequences(count, seed):
    """Clips of three to five tokens, padded with zeros."""
    row, time = torch.arange(count) % SHAPES.classes, torch.arange(5.0).expand(count, 5)  # (clips, time)
    mask = time < 3 + row[:, None] % 3
    audio, video = (random(count, 5, dim, seed=seed + i) * mask[..., None] for i, dim in enumerate((SHAPES.audio, SHAPES.video)))
    return Batch(row, audio, video, audio_mask=mask, video_mask=mask, audio_time=time, video_time=time)


def clips_for(method):
    return clips(temporal="temporal" in method.needs)


CLASSES = ClassText(random(SHAPES.classes, SHAPES.texts, SHAPES.text, seed=9))


def build(name, seed=0, **settings):
    """A small method with every kind of dropout on."""
    kind = plugins.load("methods", name)
    fields = kind.Settings.model_fields
    settings |= {field: 0.3 for field in fields if field.startswith("dropout")}
    if settings.get("form") == "reference" and "alignment_loss" in fields:
        del settings["dropout_decoder"]  # KDA's reference form has no text side, and refuses its settings
    settings |= {field: value for field, value in SMALL.items() if field in fields}
    torch.manual_seed(seed)
    method = kind(kind.Settings(**settings), SHAPES)
    layers.reseed(method, "test", seed)
    return method.train()


TRAINED = [name for name in plugins.names("methods") if plugins.load("methods", name).turns]
FORMS = [
    (name, form)
    for name in TRAINED
    for form in (("paper", "reference") if "form" in plugins.load("methods", name).Settings.model_fields else (None,))
]


def gradients(method, batch):
    """A pure function of (parameters, buffers): gradients, and the buffers that the pass leaves behind."""

    def losses(parameters, buffers):
        terms = [
            torch.func.functional_call(method, (parameters, buffers), (batch, double(CLASSES), turn)) for turn in method.turns
        ]
        return sum(value for part in terms for value in part.values()), buffers

    return torch.func.grad(losses, has_aux=True)


def own_state(method):
    parameters = {name: value.detach().clone() for name, value in method.named_parameters()}
    return parameters, {name: value.clone() for name, value in method.named_buffers()}


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.parametrize("mode", ["mean", "set"])
def test_stacked_equals_alone(name, form, mode):
    settings = {"combine": mode} | ({"form": form} if form else {})
    methods = [build(name, seed, **settings).double() for seed in (0, 1)]  # some gradients are zero but for rounding
    batch = double(clips_for(methods[0]))
    parameters, buffers = torch.func.stack_module_state(methods)
    parameters = {key: value.detach() for key, value in parameters.items()}
    stacked = torch.func.vmap(gradients(methods[0], batch))(parameters, buffers)
    for row, method in enumerate(methods):
        alone = gradients(methods[0], batch)(*own_state(method))
        torch.testing.assert_close(row_of(stacked, row), alone)
    assert not torch.equal(*next(iter(stacked[0].values())))


def double(tensors):
    return tensors._make(value.double() if torch.is_tensor(value) and value.is_floating_point() else value for value in tensors)


def row_of(tree, row):
    return torch.utils._pytree.tree_map(lambda value: value[row], tree)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_parameter_is_trained_or_left_out_on_purpose(name, form):
    method = build(name, **({"form": form} if form else {}))
    trained = {parameter for part in method.parts().values() for parameter in part}
    for turn in method.parts():
        sum(method(clips_for(method), CLASSES, turn).values()).backward()
    for key, parameter in method.named_parameters():
        frozen = (form, key) == ("reference", "positions") and name in ("avca", "hyper_multiple")
        assert (parameter in trained) != frozen, key
        assert parameter.grad is not None, key


def test_kda_sees_several_texts_only_as_a_set():
    one = ClassText(CLASSES.vectors.mean(1, keepdim=True))
    method = build("kda").eval()
    assert method.prepare(None, CLASSES).shape == method.prepare(None, one).shape == (SHAPES.classes, SMALL["width"])
    assert not torch.allclose(method.prepare(None, CLASSES), method.prepare(None, one))


def test_kda_margins_and_targets_have_no_dropout_and_no_gradient(monkeypatch):
    method = build("kda")
    seen = []

    def record(*tensors):
        seen.append(tensors)
        return torch.zeros(())

    monkeypatch.setattr(method, "classification_loss", record)
    monkeypatch.setattr(method, "alignment_loss", record)
    method(clips(), CLASSES)
    method(clips(), CLASSES)
    texts = [tensors[2] if tensors[0].shape[1] == SHAPES.classes else tensors[1] for tensors in seen]
    assert all(text.equal(texts[0]) and not text.requires_grad for text in texts)
    assert not seen[0][0].equal(seen[2][0])  # the logits have both


def test_kda_loss_terms_are_the_equations():
    method = build("kda", classification_loss="cross_entropy", alignment_loss="wasserstein", alignment_weight=3)
    for module in method.modules():
        if isinstance(module, layers.Dropout):
            module.rate = 0
    one, batch = ClassText(CLASSES.vectors[:, :1]), clips()
    terms = method(batch, one)
    rho, (rho_av, _) = method.prepare(None, one), method.embed(batch, CLASSES.vectors)  # training mode: batch statistics
    assert terms["classification"].item() == pytest.approx(F.cross_entropy(rho_av @ rho.T, batch.label).item(), rel=1e-5)
    apart = (rho_av - rho[batch.label]).square().sum(1)
    classwise = torch.stack([apart[batch.label == row].mean().sqrt() for row in range(SHAPES.classes)])
    assert terms["alignment"].item() == pytest.approx(3 * classwise.mean().item(), rel=1e-5)
    assert terms.keys() == {"classification", "alignment"}


def test_kda_keeps_text_as_encoded():
    assert Kda.Settings().text_normalise == "raw"


def test_eszsl_solves_its_equation():
    batch, texts = clips(40), CLASSES.vectors[:, :1]
    settings = Eszsl.Settings(feature_penalty=0.5, text_penalty=2.0)
    method = Eszsl(settings, SHAPES)
    unseen = ClassText(random(3, 1, SHAPES.text, seed=4))
    rows = method.prepare(Training(batch, ClassText(texts)), unseen)
    x = torch.cat([F.normalize(batch.video), F.normalize(batch.audio)], 1).double().requires_grad_(False)
    s, y = texts[:, 0].double(), torch.where(F.one_hot(batch.label) == 1, 1.0, -1.0).double()
    v = torch.zeros(x.shape[1], s.shape[1], dtype=torch.float64)
    v = torch.linalg.solve(
        torch.kron(x.T @ x + 0.5 * torch.eye(x.shape[1]), s.T @ s + 2 * torch.eye(s.shape[1])), (x.T @ y @ s).flatten()
    ).view_as(v)  # the normal equations, unrolled: (XXᵀ + γ) V (SSᵀ + λ) = X Y Sᵀ
    torch.testing.assert_close(rows.double(), unseen.vectors[:, 0].double() @ v.T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(method.scores(batch, rows), x.float() @ rows.T)


def test_eszsl_learns():
    centres = random(SHAPES.classes, SHAPES.audio, seed=3)
    batch = clips(80)
    batch = batch._replace(audio=centres[batch.label] + 0.1 * batch.audio)
    method = Eszsl(Eszsl.Settings(feature_penalty=0.1, text_penalty=0.1), SHAPES)
    rows = method.prepare(Training(batch, CLASSES), CLASSES)
    assert (method.scores(batch, rows).argmax(1) == batch.label).float().mean() > 0.9


def test_raw_similarity_is_refused_without_a_shared_space():
    with pytest.raises(AvgzslError, match="share no space") as caught:
        RawSimilarity(RawSimilarity.Settings(), SHAPES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "shared", [{"audio": (0, 6)}, {"video": (0, 6)}, {"audio": (0, 6), "video": (0, 6)}, {"video": (0, 2), "audio": (2, 6)}]
)
def test_raw_similarity_is_the_mean_cosine_in_the_spaces_shared(shared):
    method = RawSimilarity(RawSimilarity.Settings(), Shapes(audio=6, video=6, text=6, shared=shared))
    width = {name: stop - start for name, (start, stop) in shared.items()}
    batch = Batch(audio=random(5, width.get("audio", 6)), video=random(5, width.get("video", 6), seed=1))
    texts = {name: CLASSES.vectors.mean(1)[:, start:stop] for name, (start, stop) in shared.items()}
    cosines = [F.cosine_similarity(getattr(batch, name)[:, None], texts[name], dim=2) for name in shared]
    scores = method.scores(batch, method.prepare(None, CLASSES))
    torch.testing.assert_close(scores, torch.stack(cosines).mean(0))


def test_constant_ties():
    method = Constant(Constant.Settings(), SHAPES)
    scores = method.scores(clips(), method.prepare(None, CLASSES))
    assert scores.shape == (12, SHAPES.classes)
    assert scores.unique().numel() == 1


def chance_scores(seed, vectors, count=12):
    method = Chance(Chance.Settings(), SHAPES)
    layers.reseed(method, seed)
    return method.scores(clips(count), method.prepare(None, ClassText(vectors)))


def test_chance_is_a_function_of_seed_and_class():
    vectors, order = CLASSES.vectors, torch.tensor([2, 0, 3, 1])
    scores = chance_scores(1, vectors)
    assert scores.equal(chance_scores(1, vectors))
    assert not scores.equal(chance_scores(2, vectors))
    assert scores[:, order].equal(chance_scores(1, vectors[order]))
    assert scores[:, :2].equal(chance_scores(1, vectors[:2]))


@pytest.mark.parametrize("vectors", [random(20, 1, 8), random(20, 1, 40).sign(), torch.eye(20)[:, None]])
def test_chance_is_fair_and_has_no_ties(vectors):
    scores = chance_scores(0, vectors, count=20_000)
    assert all(len(row.unique()) == 20 for row in scores[:100])
    wins = scores.argmax(1).bincount(minlength=20)
    assert (wins - 1000).abs().max() < 5 * (20_000 * 0.05 * 0.95) ** 0.5
    assert scores.T.corrcoef().fill_diagonal_(0).abs().max() < 5 / 20_000**0.5


def recipe_of(name, dataset, preset, form="paper"):
    job = config.resolve(name, dataset, features=preset, settings={"form": form})[0]
    return plugins.load("methods", name), job


def test_recipes_fit_their_methods():
    known = [recipe for recipe in published.recipes() if recipe.method in plugins.names("methods")]
    assert {(recipe.method, recipe.dataset) for recipe in known} >= set(product(("kda", "avca", "devise"), REAL))
    for recipe in known:
        config.settings_of(recipe.method, plugins.load("methods", recipe.method), recipe.settings)


@pytest.mark.parametrize("dataset", REAL)
@pytest.mark.parametrize(
    ("name", "preset", "audio", "video", "count"),
    [
        ("avca", "main", 512, 512, 1_693_108),
        ("avca", "cls", 128, 4096, 3_331_508),
        ("devise", "main", 512, 512, 307_200),
        ("devise", "cls", 128, 4096, 1_267_200),
    ],
)
def test_recipes_build_the_published_sizes(dataset, name, preset, audio, video, count):
    kind, job = recipe_of(name, dataset, preset)
    method = kind(kind.Settings(**job.settings), Shapes(audio=audio, video=video, text=300))
    assert sum(parameter.numel() for parameter in method.parameters()) == count
    assert job.recipe == "mercea2022 (script)"


def test_kda_marks_what_its_paper_chose_on_test_numbers():
    own = [recipe for recipe in published.recipes() if recipe.method == "kda" and recipe.chosen_on_test]
    marked = {(recipe.dataset, recipe.split): recipe for recipe in own}
    assert {place: recipe.settings["alignment_weight"] for place, recipe in marked.items()} == {
        ("ucf", "main"): 10,
        ("activitynet", "main"): 1,
    }
    assert {recipe.chosen_on_test for recipe in marked.values()} == {("alignment_weight",)}


def test_a_recipe_that_was_tried_out_on_test_classes_names_the_settings():
    tried = [recipe for recipe in published.recipes() if "Tried out on the test" in recipe.note]
    assert tried
    assert all(recipe.chosen_on_test for recipe in tried)
    assert all(set(recipe.chosen_on_test) <= recipe.settings.keys() for recipe in published.recipes())


def test_every_method_says_what_it_is():
    for name in plugins.names("methods"):
        kind = plugins.load("methods", name)
        assert issubclass(kind, Method)
        assert kind.__doc__
        assert all(field.description for field in kind.Settings.model_fields.values())
        assert kind.Settings().model_dump()

"""Every loss against its definition, written out class by class with dense matrices."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from avgzsl_bench import losses, plugins
from avgzsl_bench.contracts import Loss
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.losses import _gaussian, _margin
from avgzsl_bench.methods.devise import Devise

WIDTH, CLASSES = 6, 5
ALIGNMENT = ("wasserstein", "wasserstein_low_rank", "wasserstein_batch", "wasserstein_batch_low_rank")


def make(name, **settings):
    kind = plugins.load("losses", name)
    return kind(kind.Settings(**settings))


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


ROWS = torch.tensor([0, 0, 0, 1, 1, 1, 1, 3, 3, 3, 3, 3, 4, 4])  # no clip of class 2
CLIPS, TEXTS = random(len(ROWS), WIDTH), random(CLASSES, 3, WIDTH, seed=1)


def inputs(family, seed=0):
    if family == "alignment":
        return random(len(ROWS), WIDTH, seed=seed), TEXTS, ROWS
    if family == "classification":
        return random(len(ROWS), CLASSES, seed=seed), ROWS, TEXTS
    return tuple(random(len(ROWS), WIDTH, seed=3 * seed + part) for part in range(3))


def gaussian(points):
    return points.mean(0).numpy(), np.cov(points.numpy().T, bias=True)


def square_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(values.clip(min=0)) @ vectors.T


def dense(one, other):
    """Squared 2-Wasserstein distance of two Gaussians, from full matrices."""
    (mean, covariance), (other_mean, other_covariance) = one, other
    root = square_root(other_covariance)
    coupling = square_root(root @ covariance @ root)
    return ((mean - other_mean) ** 2).sum() + np.trace(covariance + other_covariance - 2 * coupling)


def diagonal(one, other):
    return dense(*((mean, np.diag(np.diag(covariance))) for mean, covariance in (one, other)))


@pytest.mark.parametrize(("name", "distance"), [("wasserstein", diagonal), ("wasserstein_low_rank", dense)])
def test_alignment_by_class(name, distance):
    squares = [distance(gaussian(CLIPS[row == ROWS]), gaussian(TEXTS[row])) for row in (0, 1, 3, 4)]
    assert make(name, root=False)(CLIPS, TEXTS, ROWS).item() == pytest.approx(np.mean(squares), abs=1e-4)
    assert make(name)(CLIPS, TEXTS, ROWS).item() == pytest.approx(np.mean(np.sqrt(squares)), abs=1e-4)


@pytest.mark.parametrize(("name", "distance"), [("wasserstein_batch", diagonal), ("wasserstein_batch_low_rank", dense)])
def test_alignment_by_batch(name, distance):
    square = distance(gaussian(CLIPS), gaussian(TEXTS[ROWS].flatten(0, 1)))
    assert make(name, root=False)(CLIPS, TEXTS, ROWS).item() == pytest.approx(square, abs=1e-4)
    assert make(name)(CLIPS, TEXTS, ROWS).item() == pytest.approx(np.sqrt(square), abs=1e-4)


@pytest.mark.parametrize("name", ["wasserstein", "wasserstein_low_rank"])
def test_with_one_text_alignment_is_the_mean_squared_distance(name):
    texts = TEXTS[:, :1]
    per_class = [(CLIPS[row == ROWS] - texts[row]).square().sum(1).mean() for row in (0, 1, 3, 4)]
    value = make(name, root=False)(CLIPS.float(), texts.float(), ROWS)
    assert value.item() == pytest.approx(torch.stack(per_class).mean().item(), abs=1e-5)


@pytest.mark.parametrize("name", ALIGNMENT)
def test_only_class_scope_sees_exchanged_classes(name):
    rows = torch.arange(len(ROWS)) % 2  # as many clips of one class as of the other
    exchanged = make(name)(CLIPS, TEXTS[[1, 0, 2, 3, 4]], rows)
    assert torch.allclose(make(name)(CLIPS, TEXTS, rows), exchanged) == ("batch" in name)
    assert torch.allclose(make(name)(CLIPS, TEXTS, rows), make(name)(CLIPS, TEXTS[[1, 0, 2, 3, 4]], 1 - rows))


@pytest.mark.parametrize("name", ALIGNMENT)
@pytest.mark.parametrize("texts", [1, 3])
def test_alignment_gradients_are_finite_where_roots_vanish(name, texts):
    repeated = TEXTS[:, :texts]
    for clips in (repeated[ROWS, 0], torch.zeros_like(CLIPS), CLIPS):
        clips = clips.clone().requires_grad_()
        make(name)(clips, repeated, ROWS).backward()
        assert clips.grad.isfinite().all()


def test_spread_between_classes_equals_dense_matrices():
    _, roots = _gaussian.roots_of(TEXTS)
    square_roots = [square_root(gaussian(texts)[1]) for texts in TEXTS]
    expected = [[((one - other) ** 2).sum() for other in square_roots] for one in square_roots]
    np.testing.assert_allclose(_gaussian.between_roots(roots).numpy(), expected, atol=1e-6)
    means = torch.cdist(TEXTS.mean(1), TEXTS.mean(1)).numpy()
    np.testing.assert_allclose(_gaussian.between_classes(TEXTS).square().numpy(), means**2 + expected, atol=1e-6)


def test_equation_7():
    logits = random(len(ROWS), CLASSES)
    zero = torch.zeros(CLASSES, CLASSES, dtype=torch.float64, requires_grad=True)
    loss = _margin.with_margins(logits, ROWS, zero)
    assert torch.allclose(loss, F.cross_entropy(logits, ROWS))
    assert _margin.with_margins(logits, ROWS, torch.full_like(zero, -torch.inf)) == 0
    loss.backward()
    weights = torch.softmax(logits, 1)
    expected = torch.stack([weights[row == ROWS].sum(0) for row in range(CLASSES)]) / len(ROWS)
    assert torch.allclose(zero.grad, expected.fill_diagonal_(0))


def test_adaptive_margin_pushes_similar_classes_most():
    logits = 3 * random(len(ROWS), CLASSES)
    margins = make("adaptive_margin", scale=0.5).margins(logits, TEXTS) / logits.std()
    distances = _gaussian.between_classes(TEXTS)
    apart = ~torch.eye(CLASSES, dtype=torch.bool)
    assert margins[apart].max().item() == pytest.approx(0.5)
    assert margins[apart].min().item() == pytest.approx(0, abs=1e-9)
    assert margins[apart].argsort().equal(distances[apart].argsort(descending=True))


def test_literal_margin_does_the_opposite():
    distances = _gaussian.between_classes(TEXTS)
    margins = make("adaptive_margin_literal", alpha=2, beta=0.5).margins(CLIPS, TEXTS)
    assert torch.allclose(margins, 2 * distances + 0.5)
    apart = ~torch.eye(CLASSES, dtype=torch.bool)
    assert margins[apart].argsort().equal(distances[apart].argsort())


def test_cosine_margin():
    margins = make("adaptive_margin_cosine", alpha=0.7, beta=-0.05).margins(CLIPS, TEXTS)
    one, other = TEXTS.mean(1)[0], TEXTS.mean(1)[3]
    assert margins[0, 3].item() == pytest.approx(0.7 * F.cosine_similarity(one, other, dim=0).item() - 0.05)


def test_margin_losses_add_up_to_equation_7():
    logits = random(len(ROWS), CLASSES)
    for name in ("adaptive_margin", "adaptive_margin_literal", "adaptive_margin_cosine"):
        margins = make(name).margins(logits, TEXTS)
        terms = []
        for clip, row in zip(logits, ROWS, strict=True):
            rivals = [torch.exp(clip[k] + margins[row, k]) for k in range(CLASSES) if k != row]
            terms.append(-torch.log(clip[row].exp() / (clip[row].exp() + sum(rivals))))
        assert torch.allclose(make(name)(logits, ROWS, TEXTS), torch.stack(terms).mean()), name


def test_ranking_losses():
    logits = random(len(ROWS), CLASSES).numpy()
    costs = np.array([np.maximum(0, 0.2 + clip - clip[row]) for clip, row in zip(logits, ROWS, strict=True)])
    costs[np.arange(len(ROWS)), ROWS] = 0
    harmonic = [0, *np.cumsum(1 / np.arange(1, CLASSES + 1))]
    weights = [harmonic[rank] / max(rank, 1) for rank in (costs > 0).sum(1)]
    expected = {
        "devise": costs.sum(1).mean(),
        "ale": (weights * costs.sum(1)).mean(),
        "sje": costs.max(1).mean(),
    }
    assert {name: make(name, margin=0.2)(torch.from_numpy(logits), ROWS, TEXTS).item() for name in expected} == pytest.approx(
        expected
    )


def test_triplet():
    anchor, positive, negative = inputs("triplet")
    near, far = ((anchor - other + 1e-6).norm(dim=1) for other in (positive, negative))
    assert torch.allclose(make("triplet", margin=0.3)(anchor, positive, negative), (near - far + 0.3).clamp(min=0).mean())


@pytest.mark.parametrize("name", plugins.names("losses"))
def test_every_loss_stacks(name):
    loss = make(name)
    first, second = inputs(loss.family), inputs(loss.family, seed=7)
    scores = torch.stack([first[0], second[0]])
    values, gradients = torch.func.vmap(torch.func.grad_and_value(lambda given: loss(given, *first[1:])))(scores)[::-1]
    for given, value, gradient in zip(scores, values, gradients, strict=True):
        alone_gradient, alone = torch.func.grad_and_value(lambda given: loss(given, *first[1:]))(given)
        assert alone.shape == ()
        assert alone_gradient.abs().sum() > 0
        torch.testing.assert_close((value, gradient), (alone, alone_gradient))


@pytest.mark.parametrize("name", plugins.names("losses"))
def test_every_loss_says_what_it_is(name):
    kind = plugins.load("losses", name)
    assert issubclass(kind, Loss)
    assert kind.family in ("alignment", "classification", "triplet")
    assert kind.version >= 1
    assert all(field.description for field in kind.Settings.model_fields.values())
    with pytest.raises(ValidationError):
        kind.Settings(nonsense=1)


def test_choices_are_complete_and_of_their_family():
    settings = Devise.Settings(classification_loss={"name": "sje", "margin": 0.5})
    assert settings.model_dump()["classification_loss"] == {"name": "sje", "margin": 0.5}
    assert losses.make(settings.classification_loss).settings.margin == 0.5
    assert Devise.Settings().model_dump()["classification_loss"] == {"name": "devise", "margin": 0.1}
    with pytest.raises(AvgzslError, match="'triplet' is of the triplet family"):
        Devise.Settings(classification_loss="triplet")
    with pytest.raises(AvgzslError, match="did you mean sje"):
        Devise.Settings(classification_loss="sjee")
    with pytest.raises(AvgzslError, match="loss sje has no setting 'margni'; did you mean margin"):
        Devise.Settings(classification_loss={"name": "sje", "margni": 0.5})

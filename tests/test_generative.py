"""The generative methods: whom a turn moves, the gradient penalty, and the classifier that is fitted to synthetic clips."""

import pytest
import torch
from torch.nn import functional as F

from avgzsl_bench import batches, layers, plugins, scoring, training
from avgzsl_bench.contracts import Batch, ClassText, Clips, Shapes, Training
from avgzsl_bench.methods._generative import critic, features, gradient_penalty
from avgzsl_bench.methods.acfs import contrastive

SHAPES = Shapes(audio=5, video=7, text=6, classes=4)
FORMS = [("f_vaegan_d2", {"form": "paper"}), ("f_vaegan_d2", {"form": "reference"}), ("acfs", {})]
SMALL = {
    "batches_per_epoch": 2,
    "batch_size": 8,
    "latent": 3,
    "generator_hidden": 8,
    "critic_hidden": 8,
    "synthetic_per_class": 20,
    "classifier_epochs": 4,
    "classifier_batch_size": 32,
    "classifier_learning_rate": 0.05,
}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABEL = torch.arange(40) % SHAPES.classes
BATCH = Batch(LABEL, random(40, 5)[LABEL] + 0.1 * random(40, 5, seed=1), random(40, 7)[LABEL] + 0.1 * random(40, 7, seed=2))
SEEN = torch.tensor([True, False, True, True, False, True])
TEXTS = random(len(SEEN), 1, 6, seed=3)
CLASSES, CANDIDATES = ClassText(TEXTS[SEEN]), ClassText(TEXTS, SEEN)
TRAINING = Training(BATCH, CLASSES)


def build(name, given, **settings):
    kind = plugins.load("methods", name)
    return training.build(kind, kind.Settings(**{**SMALL, **given, **settings}), SHAPES, torch.device("cpu"), 0)


@pytest.mark.parametrize(("name", "given"), FORMS)
def test_a_turn_moves_its_own_networks_only(name, given):
    method = build(name, given)
    parts = method.parts()
    assert {id(p) for part in parts.values() for p in part} == {id(p) for p in method.parameters()}
    assert sum(len(part) for part in parts.values()) == len(list(method.parameters()))
    networks = dict(method.named_children())
    for turn, own in parts.items():
        before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
        optimiser = torch.optim.Adam(own, lr=0.1)
        torch.stack(list(method(BATCH, CLASSES, turn).values())).sum().backward()
        optimiser.step()
        method.zero_grad()
        moved = {
            name
            for name, network in networks.items()
            if any(not torch.equal(old, new) for old, new in zip(before[name], network.parameters(), strict=True))
        }
        ids = {id(p) for p in own}
        assert moved == {name for name, network in networks.items() if any(id(p) in ids for p in network.parameters())}


def clips():
    return Clips(BATCH.audio.numpy(), BATCH.video.numpy(), LABEL.numpy(), tuple(map(str, range(40))))


@pytest.mark.parametrize(("name", "given"), FORMS)
def test_critic_steps_and_batches(name, given, monkeypatch):
    method = build(name, given)
    seen = []
    kind = type(method)
    original = kind.losses
    monkeypatch.setattr(kind, "losses", lambda self, b, c, turn: seen.append((turn, b)) or original(self, b, c, turn))
    training.Trainer(method, batches.pool(clips(), range(4), torch.device("cpu")), CLASSES, 0, 1).epoch()
    turns = [turn for turn, _ in seen]
    same = torch.equal(seen[-2][1].audio, seen[-1][1].audio)
    if given.get("form") == "reference":
        assert turns == ["critic", "generator"] * 2
        assert same
    else:
        assert turns == (["critic"] * 5 + ["generator"]) * 2
        assert not same


def test_the_reference_form_judges_what_its_critic_saw():
    def fakes(form):
        method = build("f_vaegan_d2", {"form": form})
        layers.reseed(method, 0)
        made = []
        method.noise.register_forward_hook(lambda module, given, output: made.append(output))
        for _ in range(2):
            method(BATCH, CLASSES, "critic")
            method(BATCH, CLASSES, "generator")
        return made

    first, again, second, _ = fakes("reference")
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    first, other, *_ = fakes("paper")
    assert not torch.equal(first, other)


def test_only_the_paper_form_asks_both_critics():
    for form, asked in (("paper", True), ("reference", False)):
        method = build("f_vaegan_d2", {"form": form})
        method(BATCH, CLASSES, "generator")["adversary"].backward()
        assert (method.critic_alone[0].weight.grad is not None) == asked


def test_terms_of_the_vae_are_means_over_clips_or_sums():
    terms = {}
    for form, given in (("paper", {"output": "sigmoid"}), ("reference", {})):
        method = build("f_vaegan_d2", {"form": form, **given})
        layers.reseed(method, 0)
        terms[form] = method(BATCH, CLASSES, "generator")
    for name in ("reconstruction", "divergence"):
        torch.testing.assert_close(len(LABEL) * terms["paper"][name], terms["reference"][name])


def test_the_penalty_is_that_of_autograd():
    network = critic(12, 8)
    real, fake, share = random(9, 12), random(9, 12, seed=1), torch.rand(9, 1, generator=torch.Generator().manual_seed(2))
    ours = gradient_penalty(network, real, fake, share)
    mixed = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(network(mixed).sum(), mixed, create_graph=True)
    theirs = ((slope.norm(dim=1) - 1) ** 2).mean()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    weights = (network[0].weight, network[2].weight)
    for one, other in zip(torch.autograd.grad(ours, weights), torch.autograd.grad(theirs, weights), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("name", "given"), FORMS)
def test_rows_of_every_classifier_epoch(name, given):
    method = build(name, given)
    rows = scoring.prepare(method, TRAINING, CANDIDATES, 0)
    assert rows.shape == (4, 6, 13)
    assert not rows.requires_grad
    loss = [F.cross_entropy(method.scores(BATCH, each), SEEN.nonzero().squeeze(1)[LABEL]).item() for each in rows]
    assert loss == sorted(set(loss), reverse=True), "every epoch is kept as it was"
    assert torch.equal(rows, scoring.prepare(method, TRAINING, CANDIDATES, 0))
    assert not torch.equal(rows, scoring.prepare(method, TRAINING, CANDIDATES, 1))


def test_seen_rows_follow_the_training_classes():
    method = build("f_vaegan_d2", {"form": "paper"}, classifier_epochs=30)
    rows = scoring.prepare(method, TRAINING, CANDIDATES, 0)[-1]
    best = method.scores(BATCH, rows)[:, SEEN].argmax(1)
    assert (best == LABEL).float().mean() > 0.9


def test_a_step_of_the_classifier():
    """One full batch an epoch: the first step of Adam moves every weight by the learning rate against its slope."""
    method = build("acfs", {}, classifier_batch_size=80, classifier_epochs=1)
    drawn = []
    method.noise.register_forward_hook(lambda module, given, output: drawn.append(output))
    (rows,) = scoring.prepare(method, TRAINING, CANDIDATES, 0)
    noise, initial = drawn
    row = torch.tensor([1, 4]).repeat_interleave(20)  # of synthetic clips: the unseen classes
    clips = torch.cat([features(BATCH), method.generate(noise, TEXTS[row, 0]).detach()])
    clips, start = F.pad(clips, (0, 1), value=1.0), F.pad(0.02 * initial, (0, 1))
    target = F.one_hot(torch.cat([SEEN.nonzero().squeeze(1)[LABEL], row]), 6)
    slope = ((clips @ start.T).softmax(1) - target).T @ clips / len(clips)  # (classes, width + 1)
    torch.testing.assert_close(rows, start - 0.05 * slope.sign(), rtol=1e-3, atol=1e-5)


def test_every_candidate_may_be_a_training_class():
    """As under reference rules, where stage 2 is scored on its own training data."""
    method = build("f_vaegan_d2", {"form": "paper"}, classifier_epochs=20)
    half = ClassText(CLASSES.vectors, torch.tensor([True, True, False, True]))
    rows = scoring.prepare(method, TRAINING, half, 0)[-1]
    assert (method.scores(BATCH, rows).argmax(1) == LABEL).float().mean() > 0.9


def test_a_sigmoid_keeps_synthetic_clips_in_the_unit_interval():
    linear, bounded = (build("acfs", {}, output=output) for output in ("linear", "sigmoid"))
    text = TEXTS[:, 0]
    assert torch.equal(linear.generate(linear.draw(text), text).sigmoid(), bounded.generate(bounded.draw(text), text))


@pytest.mark.parametrize("form", ["paper", "reference"])
def test_only_the_reference_form_fits_to_synthetic_clips_of_length_one(form):
    method = build("f_vaegan_d2", {"form": form})
    text = TEXTS[:, 0]
    noise = method.draw(text)
    made, given = method.generate(noise, text), method.synthesise(noise, text)
    torch.testing.assert_close(given, F.normalize(made) if form == "reference" else made)
    assert not torch.allclose(made.norm(dim=1), torch.ones(len(text)), rtol=0.1)


def test_the_released_script_has_no_seen_bias():
    assert plugins.load("methods", "f_vaegan_d2").reference_biases.tolist() == [0]


def test_the_reference_form_refuses_what_it_does_not_read():
    with pytest.raises(ValueError, match="always ends in a sigmoid"):
        build("f_vaegan_d2", {"form": "reference"}, output="sigmoid")


def test_contrast_is_lowest_where_classes_are_apart():
    label = torch.tensor([0, 0, 1, 1])
    apart, mixed = torch.eye(2)[[0, 0, 1, 1]], torch.eye(2)[[0, 1, 0, 1]]
    loss = [contrastive(values, label, 1.0).item() for values in (apart, mixed)]
    near, far = torch.tensor(1.0).exp().item(), 1.0
    shares = [near / (near + 2 * far), far / (near + 2 * far)]  # of the one positive among three others
    assert loss == pytest.approx([-torch.tensor(share).log().item() for share in shares], rel=1e-6)

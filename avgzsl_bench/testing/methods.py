"""Questions to a method, asked on the synthetic data set `demo` through the real training loop."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avgzsl_bench import stacking
from avgzsl_bench.contracts import Batch, Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.testing import controls
from avgzsl_bench.testing.kit import Skip
from avgzsl_bench.testing.settings import refuse_unknown
from avgzsl_bench.testing.subject import CLIPS, Subject, subjects

__all__ = ["QUESTIONS", "subjects"]

NEEDS = {"audio", "video", "negatives", "temporal"}
KNOWN = ("paper", "abstract")
PADDING = 3  # tokens
STRANGE = "no_such_part.weight"


def is_built_from_defaults(subject: Subject) -> None:
    """Defaults are complete; `needs`, `known_from`, `version` and every setting are declared."""
    subject.kind.Settings.model_validate({})
    subject.build()
    assert subject.kind.needs <= NEEDS, f"needs {set(subject.kind.needs - NEEDS)}, which no batch holds; choose from {NEEDS}"
    assert not {"temporal", "negatives"} <= subject.kind.needs, "needs temporal and negatives; the sampler crops no negatives"
    assert subject.kind.known_from in KNOWN, f"known_from is {subject.kind.known_from!r}; choose from {KNOWN}"
    assert subject.kind.version >= 1, f"version is {subject.kind.version!r}; it counts from 1"
    silent = [name for name, field in subject.kind.Settings.model_fields.items() if not field.description]
    assert not silent, f"settings {silent} have no description"


def refuses_an_unknown_setting(subject: Subject) -> None:
    """`extra="forbid"` survived in Settings."""
    refuse_unknown(subject.kind.Settings)


def names_its_turns(subject: Subject) -> None:
    """`parts` speaks of the turns there are, and of the method's own parameters, and every turn of losses has a part."""
    method = _that_trains(subject)
    parts = method.parts()
    strange = set(parts) - set(method.turns)
    assert not strange, f"parts() names {strange}, which turns {method.turns} do not hold"
    own = {id(parameter) for parameter in method.parameters()}
    assert all(id(parameter) in own for part in parts.values() for parameter in part), "parts() holds parameters of others"
    assert all(parts.values()), f"parts() gives no parameters to {[turn for turn, part in parts.items() if not part]}"
    for turn in method.turns:
        terms = method.train()(subject.batch, subject.classes, turn)
        assert not terms or turn in parts, f"turn {turn!r} has losses but parts() gives it no parameters to move"


def has_finite_scalar_losses(subject: Subject) -> None:
    """Every term of every turn is one finite number, and together they reach a parameter."""
    method = _that_trains(subject)
    for turn in method.turns:
        for name, term in method.train()(subject.batch, subject.classes, turn).items():
            assert term.shape == (), f"loss {name!r} of turn {turn!r} has shape {tuple(term.shape)}; a term is a scalar"
            assert term.isfinite(), f"loss {name!r} of turn {turn!r} is {term.item()}"


def lowers_its_losses_in_training(subject: Subject) -> None:
    """The sum of the losses is lower in the last epoch on demo than in the first."""
    method = _that_trains(subject)
    stepping = [turn for turn in method.turns if turn in method.parts()]
    if len(set(stepping)) > 1:
        raise Skip(f"adversarial: turns {' and '.join(sorted(set(stepping)))} pull the losses in two directions")
    history = [sum(epoch.values()) for epoch in subject.trained()[1]]
    assert history[-1] < history[0], f"losses went from {history[0]:.4g} to {history[-1]:.4g} in {len(history)} epochs on demo"


def stacked_copies_equal_each_alone(subject: Subject) -> None:
    """Two stacked copies on batches of their own have the gradients and buffers of each alone, dropout included (float64)."""
    method = _that_trains(subject)
    if not list(method.parameters()):
        raise Skip("has no parameters")
    said = stacking.check([subject.build(seed) for seed in (0, 1)], [subject.drawn(key) for key in (0, 1)], subject.classes)
    hint = "draw only through layers.Dropout and layers.Noise, and use no .item(), boolean masks or branches on values"
    assert not said, f"{said} when two copies are stacked; {hint}"


def gives_finite_scores_without_gradient(subject: Subject) -> None:
    """Scores are (clips, classes), finite and detached; `prepare` gives one row a class, after each classifier epoch if any."""
    method, _ = subject.trained()
    classes = subject.candidates()
    fits = subject.fits(method, classes)
    wanted = method.classifier_epochs or 1
    assert len(fits) == wanted, f"prepare() gave {len(fits)} fits for {wanted} classifier epochs; it gives (epochs, classes, ...)"
    rows, count = fits[-1], len(classes.vectors)
    assert len(rows) == count, f"prepare() gave {len(rows)} rows for {count} classes"
    scores = subject.scores(method, rows)
    assert scores.shape == (CLIPS, count), f"scores are {tuple(scores.shape)} for {CLIPS} clips and {count} classes"
    assert scores.isfinite().all(), "scores are not all finite"
    keeping = [name for name, part in (("scores", scores), ("rows", rows)) if part.requires_grad]
    assert not keeping, f"{' and '.join(keeping)} keep a graph although gradients are off; detach them"


def permutes_columns_with_the_rows(subject: Subject) -> None:
    """Scores do not depend on where a class stands."""
    method, _ = subject.trained()
    rows = subject.prepare(method, subject.candidates())
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(rows)))
    _assert_same_scores(subject.scores(method, rows[order]), subject.scores(method, rows)[:, order], "permuting the rows")


def scores_each_column_alone(subject: Subject) -> None:
    """A class's score does not depend on which other classes are candidates."""
    method, _ = subject.trained()
    rows = subject.prepare(method, subject.candidates())
    few = torch.arange(1, len(rows), 3)
    _assert_same_scores(subject.scores(method, rows[few]), subject.scores(method, rows)[:, few], "dropping other classes")


def scores_one_clip(subject: Subject) -> None:
    """A batch of one clip gets the scores that the clip has among others."""
    method, _ = subject.trained()
    rows = subject.prepare(method, subject.candidates())
    first: dict[str, Any] = {name: part[:1] for name, part in subject.clips._asdict().items() if isinstance(part, Tensor)}
    one = Batch(**first)
    _assert_same_scores(subject.scores(method, rows, one), subject.scores(method, rows)[:1], "dropping other clips")


def ignores_padding(subject: Subject) -> None:
    """More padding behind the tokens leaves scores as they are, since a clip's neighbours decide how much there is."""
    if "temporal" not in subject.kind.needs:
        raise Skip("needs no temporal features")
    method, _ = subject.trained()
    rows = subject.prepare(method, subject.candidates())
    longer: dict[str, Any] = {
        name: _longer(name, part) for name, part in subject.clips._asdict().items() if isinstance(part, Tensor)
    }
    padded = subject.scores(method, rows, subject.clips._replace(**longer))
    _assert_same_scores(padded, subject.scores(method, rows), f"padding by {PADDING} more tokens")


def _longer(name: str, part: Tensor) -> Tensor:
    """Features and masks continue with zeros, times with their step: (clips, time, ...) to (clips, time + PADDING, ...)."""
    more = part.new_zeros(len(part), PADDING, *part.shape[2:])
    if name.endswith("time"):
        more += part[:, -1:] + (part[:, -1:] - part[:, -2:-1]) * torch.arange(1, PADDING + 1)
    return torch.cat([part, more], 1)


def scores_packed_clips_alike(subject: Subject) -> None:
    """Clips that share a row, as they do in training where a method is `packed`, get the scores that each gets in its own."""
    method, _ = subject.trained()
    if not method.packed:
        raise Skip("takes a clip a row: packed is False")
    rows = subject.prepare(method, subject.candidates())
    together = subject.scores(method, rows, subject.packed_clips)
    _assert_same_scores(together, subject.scores(method, rows), "putting several clips into a row")


def scores_each_modality_like_both(subject: Subject) -> None:
    """`scores_by_modality` gives what `scores` gives, for audio and for video: (clips, classes), finite."""
    method, _ = subject.trained()
    rows = subject.prepare(method, subject.candidates())
    with torch.no_grad():
        alone = method.eval().scores_by_modality(subject.clips, rows)
    if not alone:
        raise Skip("has no scores_by_modality")
    assert set(alone) == {"audio", "video"}, f"scores_by_modality names {sorted(alone)}; it gives audio and video"
    for name, scores in alone.items():
        assert scores.shape == (CLIPS, len(rows)), f"{name} scores are {tuple(scores.shape)}, not {(CLIPS, len(rows))}"
        assert scores.isfinite().all(), f"{name} scores are not all finite"


def _assert_same_scores(scores: Tensor, expected: Tensor, what: str) -> None:
    assert scores.shape == expected.shape, f"{what}: scores are {tuple(scores.shape)} where {tuple(expected.shape)} are expected"
    spread = (expected.max() - expected.min()).item() + expected.abs().max().item()
    far = (scores - expected).abs().max().item()
    assert far <= 1e-4 * spread, f"{what} changes scores by {far:.2g} (their spread is {spread:.2g})"


def follows_its_seed(subject: Subject) -> None:
    """The same seed gives the same scores; another gives others, or the same for a method that says `seeded = False`."""
    first, again, other = (subject.train(seed, epochs=1)[0] for seed in (0, 0, 1))
    scores = [
        subject.exam(method, subject.fewer_test_clips, subject.candidates(), seed)
        for method, seed in ((first, 0), (again, 0), (other, 1))
    ]
    assert torch.equal(scores[0], scores[1]), (
        "the same seed gives other scores; draw only through layers.Dropout and layers.Noise"
    )
    same = torch.equal(scores[0], scores[2])
    assert same != subject.kind.seeded, (
        "another seed gives the same scores; say seeded = False"
        if same
        else "seeded is False, but another seed gives other scores"
    )


def keeps_its_scores_in_the_state(subject: Subject) -> None:
    """state_dict into a new method gives the same scores."""
    method, _ = subject.trained()
    copy = subject.build(seed=1)
    copy.load_state_dict({name: value.clone() for name, value in method.state_dict().items()})
    scores = [subject.scores(each, subject.prepare(each, subject.candidates())) for each in (method, copy)]
    assert torch.equal(*scores), (
        "a new method with the same state scores differently: something that decides is not in state_dict"
    )


def refuses_weights_of_another_method(subject: Subject) -> None:
    """`load_released` lists what it does not know in one line, and loads nothing."""
    method = subject.build()
    if type(method).load_released is Method.load_released:
        raise Skip("no released weights are known")
    before = {name: value.clone() for name, value in method.state_dict().items()}
    said = _refusal(partial(method.load_released, {STRANGE: torch.zeros(3)}))
    assert said, f"load_released takes the unknown name {STRANGE} without a word"
    assert STRANGE in said, f"the error does not name the unknown {STRANGE}: {said}"
    assert "\n" not in said, f"the error has several lines: {said}"
    after = method.state_dict()
    assert all(after[name].equal(value) for name, value in before.items()), "weights changed although the others were refused"


def _refusal(load: Callable[[], None]) -> str:
    try:
        load()
    except AvgzslError as error:
        return str(error)
    return ""


def leaves_its_inputs_alone(subject: Subject) -> None:
    """Neither losses nor scores write into clips, class text or rows."""
    method = subject.build()
    rows = subject.prepare(method, subject.candidates())
    inputs = {"batch": subject.batch, "classes": subject.classes, "rows": (rows,), "training": subject.training.batch}
    before = {name: [part.clone() for part in parts if isinstance(part, Tensor)] for name, parts in inputs.items()}
    for turn in method.turns:
        method.train()(subject.batch, inputs["classes"], turn)
    subject.prepare(method, subject.candidates())
    subject.scores(method, rows)
    for name, parts in inputs.items():
        after = [part for part in parts if isinstance(part, Tensor)]
        assert all(map(torch.equal, before[name], after)), f"{name} is written to; copy before changing"


def _that_trains(subject: Subject) -> Method:
    method = subject.build()
    if not method.turns:
        raise Skip("trains nothing: turns is ()")
    return method


QUESTIONS: tuple[Callable[[Subject], None], ...] = (
    is_built_from_defaults,
    refuses_an_unknown_setting,
    names_its_turns,
    has_finite_scalar_losses,
    lowers_its_losses_in_training,
    stacked_copies_equal_each_alone,
    gives_finite_scores_without_gradient,
    permutes_columns_with_the_rows,
    scores_each_column_alone,
    scores_one_clip,
    ignores_padding,
    scores_packed_clips_alike,
    scores_each_modality_like_both,
    follows_its_seed,
    keeps_its_scores_in_the_state,
    refuses_weights_of_another_method,
    leaves_its_inputs_alone,
    controls.falls_to_chance_when_texts_are_permuted,
    controls.beats_chance_when_texts_are_right,
)

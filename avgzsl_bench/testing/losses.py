"""Questions to a loss, asked with random tensors of its family's shapes."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, vmap

from avgzsl_bench import plugins
from avgzsl_bench.contracts import Loss
from avgzsl_bench.testing.settings import refuse_unknown

CLIPS, CLASSES, WIDTH = 24, 5, 8
FAMILIES = ("alignment", "classification", "triplet")


def subjects(name: str) -> dict[str, Callable[[], type[Loss]]]:
    """The loss class by its name."""
    return {name: partial(plugins.load, "losses", name)}


def _tensors(family: str, texts: int, seed: int) -> tuple[Tensor, ...]:
    """Arguments of a family, every class with several clips."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    rows = torch.arange(CLIPS) % CLASSES
    prototypes = draw(CLASSES, texts, WIDTH)
    if family == "alignment":
        return draw(CLIPS, WIDTH), prototypes, rows
    if family == "classification":
        return draw(CLIPS, CLASSES), rows, prototypes
    return draw(CLIPS, WIDTH), draw(CLIPS, WIDTH), draw(CLIPS, WIDTH)


def _build(kind: type[Loss]) -> Loss:
    return kind(kind.Settings())


def _each_shape(kind: type[Loss]) -> list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
    """Two sets of arguments each, with one text a class and with three."""
    return [(_tensors(kind.family, texts, 0), _tensors(kind.family, texts, 1)) for texts in (1, 3)]


def declares_family_and_version(kind: type[Loss]) -> None:
    """A method finds a loss by its family; a record keeps its version."""
    family = getattr(kind, "family", None)
    assert family in FAMILIES, f"family is {family!r}; choose one of {', '.join(FAMILIES)}"
    assert kind.version >= 1, f"version is {kind.version!r}; it counts from 1"


def refuses_an_unknown_setting(kind: type[Loss]) -> None:
    """`extra="forbid"` survived in Settings."""
    refuse_unknown(kind.Settings)


def is_a_finite_scalar(kind: type[Loss]) -> None:
    """The value is one finite number, with one text a class and with several."""
    for tensors, _ in _each_shape(kind):
        value = _build(kind)(*tensors)
        assert value.shape == (), f"the loss has shape {tuple(value.shape)}; it is a scalar"
        assert value.isfinite(), f"the loss is {value.item()}"


def has_a_gradient_for_its_first_argument(kind: type[Loss]) -> None:
    """What the method makes of the clips is what a loss moves."""
    for tensors, _ in _each_shape(kind):
        gradient = grad(_build(kind))(*tensors)
        assert gradient.isfinite().all(), "the gradient with respect to the first argument is not finite"
        assert gradient.any(), "the gradient with respect to the first argument is zero: nothing would be learned"


def stacked_inputs_equal_each_alone(kind: type[Loss]) -> None:
    """`vmap` over two stacked sets of arguments gives the value and gradient of each alone."""
    both = torch.func.grad_and_value(_build(kind))
    for pair in _each_shape(kind):
        stacked = vmap(both)(*(torch.stack(parts) for parts in zip(*pair, strict=True)))
        for index, tensors in enumerate(pair):
            for together, alone in zip(stacked, both(*tensors), strict=True):
                far = (together[index] - alone).abs().max().item()
                # float32: a root of a small number that is summed in another order may lose half of its digits
                assert far <= 1e-3 * alone.abs().max().item() + 1e-6, f"a value or gradient is off by {far:.2g} when stacked"


def leaves_its_arguments_alone(kind: type[Loss]) -> None:
    """A loss writes into none of its tensors."""
    tensors = _tensors(kind.family, 3, 0)
    before = [tensor.clone() for tensor in tensors]
    _build(kind)(*tensors)
    assert all(map(torch.equal, before, tensors)), "an argument is written to; copy before changing"


QUESTIONS: tuple[Callable[[type[Loss]], None], ...] = (
    declares_family_and_version,
    refuses_an_unknown_setting,
    is_a_finite_scalar,
    has_a_gradient_for_its_first_argument,
    stacked_inputs_equal_each_alone,
    leaves_its_arguments_alone,
)

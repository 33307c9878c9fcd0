"""Several copies of a method as one: their weights lie in one storage, and one mapped call computes the losses of all.

What differs from copy to copy is data to the mapped call: weights, statistics, keys of randomness, batches, and settings that
are plain numbers, such as the weight of a loss term.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from avgzsl_bench.contracts import ABSENT, Batch, ClassText, Loss, Method, Packing, Training, TrainingSettings
from avgzsl_bench.layers import reseed

warnings.filterwarnings("ignore", "There is a performance drop")  # attention on a CPU, which is stacked only when asked for

# what only the loop reads of the settings, for each trainer by itself; the batches must have one size
LOOP_FIELDS = TrainingSettings.model_fields.keys() - {"batch_size", "batches_per_epoch", "combine", "text_normalise"}


class Stack:
    """Methods whose parameters and buffers become views of stacked storage, so that each can still be used by itself."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self.methods = methods
        self.base = methods[0]  # its code speaks for all
        self.parameters = {
            name: torch.stack([method.get_parameter(name).detach() for method in methods]).requires_grad_(own.requires_grad)
            for name, own in self.base.named_parameters()
        }
        self.buffers = {
            name: torch.stack([method.get_buffer(name) for method in methods]) for name, _ in self.base.named_buffers()
        }
        for place, method in enumerate(methods):
            for name, stacked in self.parameters.items():
                method.get_parameter(name).data = stacked.detach()[place]
            for name, stacked in self.buffers.items():
                owner, _, own = name.rpartition(".")
                method.get_submodule(owner)._buffers[own] = stacked[place]
        self.varying = _varying(methods)

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        """The terms of every copy, (copies,) each; the parts of `batch` are (copies, ...), those of `classes` common."""

        def of_one(
            parameters: dict[str, Tensor], buffers: dict[str, Tensor], varying: dict[str, Tensor], own: Batch
        ) -> dict[str, Tensor]:
            self.base.settings = shared.model_copy(update=varying)
            terms: dict[str, Tensor] = functional_call(self.base, (parameters, buffers), (own, classes, turn))
            return terms

        shared = self.base.settings
        try:
            terms: dict[str, Tensor] = vmap(of_one)(self.parameters, self.buffers, self.varying, batch)
        finally:
            self.base.settings = shared
        return terms

    def zero_grad(self) -> None:
        """Forget the gradients of all copies."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def share_gradients(self) -> None:
        """Give every copy its part of the gradients; a parameter that no term reaches has none, as in a copy by itself."""
        for name, parameter in self.parameters.items():
            for place, method in enumerate(self.methods):
                method.get_parameter(name).grad = None if parameter.grad is None else parameter.grad[place]

    def release(self) -> None:
        """Give every copy storage of its own again."""
        for method in self.methods:
            method.zero_grad()
            for parameter in method.parameters():
                parameter.data = parameter.data.clone()
            for module in method.modules():
                module._buffers.update({name: buffer.clone() for name, buffer in module._buffers.items() if buffer is not None})


def differing(methods: Sequence[Method]) -> list[str]:
    """The settings in which some methods of one kind differ."""
    first, *others = (method.settings for method in methods)
    return [name for name in type(first).model_fields if any(getattr(other, name) != getattr(first, name) for other in others)]


def _varying(methods: Sequence[Method]) -> dict[str, Tensor]:
    """The settings that a method reads and that differ, which are plain numbers: (copies,) each."""
    parameter = next(methods[0].parameters())
    names = [name for name in differing(methods) if name not in LOOP_FIELDS]
    return {name: parameter.new_tensor([getattr(method.settings, name) for method in methods]) for name in names}


def collate(batches: Sequence[Batch]) -> Batch:
    """One batch for each copy, stacked: (copies, ...), sequences in one layout that holds all; a single one stays as it is."""
    if len(batches) == 1:
        return batches[0]
    columns = {name: [getattr(batch, name) for batch in batches] for name in Batch._fields}
    packings = columns.pop("packing")
    packing = Packing(*(_stacked(column, -1) for column in zip(*packings, strict=True))) if packings[0] else ABSENT
    parts = {name: _stacked(column, 0) for name, column in columns.items() if isinstance(column[0], Tensor)}
    return Batch(**parts, packing=packing)


def _stacked(parts: Sequence[Tensor], empty: int) -> Tensor:
    """Parts of which some have fewer rows or tokens, filled up at the end."""
    shape = [max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True)]
    stacked = parts[0].new_full((len(parts), *shape), empty)
    for place, part in zip(stacked, parts, strict=True):
        place[tuple(slice(size) for size in part.shape)] = part
    return stacked


def alike(one: Method, other: Method) -> bool:
    """Whether two methods may be copies of one: the same code and shapes, with settings that differ in plain numbers at most.

    A number that the constructor has used up, such as a dropout rate kept in a layer, must be the same.
    """
    if type(one) is not type(other) or _tensors(one) != _tensors(other) or one.turns != other.turns:
        return False
    if one.settings == other.settings:
        return True
    names = [name for name in differing([one, other]) if name not in LOOP_FIELDS]
    numbers = all(isinstance(getattr(own.settings, name), float) for name in names for own in (one, other))
    return numbers and _structure(one) == _structure(other)


def _tensors(method: Method) -> list[tuple[str, torch.Size, torch.dtype, bool]]:
    return [(name, part.shape, part.dtype, part.requires_grad) for name, part in _parts(method)]


def _structure(method: Method) -> list[Any]:
    """What a method and its layers keep beside tensors and settings, in a form that compares."""
    kept = nn.Module().__dict__.keys() | {"settings"}
    return [
        (name, type(module), {key: _comparable(value) for key, value in vars(module).items() if key not in kept})
        for name, module in method.named_modules()
    ]


def _comparable(value: Any) -> Any:
    if isinstance(value, Loss):
        return type(value), value.settings
    if isinstance(value, Mapping):
        return {key: _comparable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_comparable(inner) for inner in value]
    return value  # of what compares by identity only, two are never alike


class _Preparing(nn.Module):
    """A method whose call is `prepare`, since a functional call is of `forward`."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, training: Training, classes: ClassText) -> Tensor:
        return self.method.prepare(training, classes)


@torch.no_grad()
def prepare(methods: Sequence[Method], keys: Sequence[Sequence[object]], training: Training, classes: ClassText) -> Tensor:
    """The rows of each copy by its own key, as `scoring.prepare` gives them: (copies, fits, classes, ...)."""
    for method, key in zip(methods, keys, strict=True):
        reseed(method.eval(), "scores", *key)
    called = [_Preparing(method) for method in methods]
    rows: Tensor = vmap(lambda *state: functional_call(called[0], state, (training, classes)))(*stack_module_state(called))
    return rows


TOLERANCE = 1e-9  # in float64, of the steepest gradient; of a buffer, of its largest value or of one


def check(methods: Sequence[Method], batches: Sequence[Batch], classes: ClassText) -> str:
    """What differs when these fresh methods are stacked: the gradients and buffers of each by itself, to 1e-9 in float64.

    An empty text means nothing does. The methods' weights and statistics are spent by it.
    """
    batches = [_double(batch) for batch in batches]
    classes = classes._replace(vectors=classes.vectors.double())
    for place, method in enumerate(methods):
        reseed(method.double().train(), "check", place)
    fresh = [{name: part.detach().clone() for name, part in _parts(method)} for method in methods]
    turns = list(dict.fromkeys(methods[0].turns))
    alone = [[_outcome(method, batch, classes, turn) for turn in turns] for method, batch in zip(methods, batches, strict=True)]
    for method, values in zip(methods, fresh, strict=True):
        for name, part in _parts(method):
            part.data.copy_(values[name])
    try:
        stack = Stack(methods)
        together = [_outcome(stack, collate(batches), classes, turn) for turn in turns]
    except (RuntimeError, TypeError, ValueError) as error:
        return "vmap does not run over its losses: " + str(error).strip().partition("\n")[0].partition(". ")[0]
    for number, turn in enumerate(turns):
        for place, own in enumerate(alone):
            if said := _difference(own[number], {name: part[place] for name, part in together[number].items()}, turn):
                return said
    return ""


def _double(batch: Batch) -> Batch:
    parts: dict[str, Any] = batch._asdict()
    return Batch(**{name: part.double() if _is_float(part) else part for name, part in parts.items()})


def _is_float(part: Any) -> bool:
    return isinstance(part, Tensor) and part.is_floating_point()


def _parts(method: Method) -> list[tuple[str, Tensor]]:
    return [*method.named_parameters(), *method.named_buffers()]


def _outcome(model: Method | Stack, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
    """Gradients and buffers after the losses of one turn, by name; of a stack (copies, ...)."""
    model.zero_grad()
    terms = model.losses(batch, classes, turn)
    if any(term.requires_grad for term in terms.values()):
        torch.stack([term.sum() for term in terms.values()]).sum().backward()
    if isinstance(model, Stack):
        parameters, buffers = model.parameters, model.buffers
    else:
        parameters, buffers = dict[str, Tensor](model.named_parameters()), dict(model.named_buffers())
    gradients = {f"gradient of {name}": part.grad for name, part in parameters.items() if part.grad is not None}
    return gradients | {f"buffer {name}": buffer.detach().clone() for name, buffer in buffers.items()}


def _difference(alone: dict[str, Tensor], together: dict[str, Tensor], turn: str) -> str:
    if alone.keys() != together.keys():
        return f"the {min(alone.keys() ^ together.keys())} is there in turn {turn!r} only alone, or only stacked"
    steepest = max([part.abs().max().item() for name, part in alone.items() if name.startswith("gradient")], default=0.0)
    for name, part in alone.items():
        scale = steepest if name.startswith("gradient") else max(1.0, part.abs().max().item() if part.numel() else 0.0)
        far = (together[name].double() - part.double()).abs().max().item() if part.numel() else 0.0
        if not far <= TOLERANCE * scale:
            return f"the {name} after turn {turn!r} is off by {far:.2g}"
    return ""

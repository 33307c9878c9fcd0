"""Keyed sources of randomness, and the blocks that three methods really share.

Random numbers are a hash of (key, call, position): a seed gives the same numbers alone, stacked under `vmap`, on any device
and after a resume, and no generator state is stored.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.randomness import dropout_mask, key_of, uniform

_CALLS = 0x09E3779B  # step of the key from draw to draw


class Keyed(nn.Module):
    """A source of randomness: `key` is set by `reseed`, `calls` counts the draws since."""

    key: Tensor
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros((), dtype=torch.int32), persistent=False)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int32), persistent=False)

    def next_key(self) -> Tensor:
        """A fresh scalar key for one draw."""
        self.calls.add_(1)
        return self.key + self.calls * _CALLS


class Dropout(Keyed):
    """Inverted dropout with probability `rate`, keyed."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor, rows: Tensor | None = None) -> Tensor:
        """Zero a share `rate` of the values in training and scale up the rest; nothing in evaluation.

        Int32 `rows`, of the shape that `values` begins with, name the rows for which it is drawn, wherever they stand.
        """
        if not self.training or self.rate == 0:
            return values
        mask = dropout_mask(self.next_key(), tuple(values.shape), self.rate, rows)
        return values * mask.to(values.dtype)


class Noise(Keyed):
    """Standard normal noise, keyed (Box-Muller); drawn in evaluation too."""

    def forward(self, like: Tensor) -> Tensor:
        """Noise of the shape, dtype and device of `like`."""
        first, second = self.next_key(), self.next_key()
        radius = torch.sqrt(-2 * torch.log1p(-uniform(first, tuple(like.shape))))
        return (radius * torch.cos(2 * torch.pi * uniform(second, tuple(like.shape)))).to(like.dtype)


def reseed(module: nn.Module, *parts: object) -> None:
    """Key every source of randomness in `module` by its place in it and by `parts`, and restart its counter."""
    for name, source in module.named_modules():
        if isinstance(source, Keyed):
            source.key.fill_(key_of(name, *parts))
            source.calls.zero_()


def projection(inputs: int, outputs: int, dropout: float, momentum: float = 0.1) -> nn.Sequential:
    """Linear, batch norm, ReLU, dropout: (rows, inputs) to (rows, outputs)."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, momentum=momentum), nn.ReLU(), Dropout(dropout))


def perceptron(inputs: int, hidden: int, outputs: int, dropout: float, momentum: float = 0.1) -> nn.Sequential:
    """Two projections in a row; `momentum` is that of the second batch norm, as in the AVCA family."""
    return projection(inputs, hidden, dropout).extend(projection(hidden, outputs, dropout, momentum))


class TokenMixer(nn.Module):
    """One pre-norm transformer layer over a handful of tokens of one clip, the "cross-attention" of the AVCA family.

    Multi-head self-attention among all tokens (each also attends to itself), then a two-layer network, both with a residual.
    """

    def __init__(self, width: int, dropout: float, heads: int = 3, head_width: int = 100, hidden: int = 64) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.join = nn.Sequential(nn.Linear(heads * head_width, width), Dropout(dropout))
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, width), Dropout(dropout)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(clips, tokens, width) to the same shape."""
        tokens = tokens + self.join(self._attention(self.norm(tokens)))
        refined: Tensor = tokens + self.feed(tokens)
        return refined

    def _attention(self, tokens: Tensor) -> Tensor:
        parts = self.attend(tokens).unflatten(-1, (3, self.heads, -1))  # (clips, tokens, 3, heads, head width)
        query, key, value = (part.transpose(1, 2) for part in parts.unbind(2))  # (clips, heads, tokens, head width)
        weights = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]), -1)
        mixed: Tensor = weights @ value
        return mixed.transpose(1, 2).flatten(2)


def load_renamed(module: nn.Module, state: Mapping[str, Tensor], prefixes: Mapping[str, str], dead: Collection[str] = ()) -> None:
    """Load another code's weights: of each name, its longest prefix in `prefixes` is replaced; names under `dead` are left out.

    Raises AvgzslError that lists every unknown name, every missing one, every array of another shape (unit axes aside) and
    every one that stands there twice.
    """
    plain = [(name.removeprefix("module."), value) for name, value in state.items()]  # as torch's data parallelism names them
    pairs = [(_rename(name, prefixes), value) for name, value in plain if not name.startswith(tuple(dead))]
    renamed, own = dict(pairs), module.state_dict()
    faults = {
        "given twice": {name for name, count in Counter(name for name, _ in pairs).items() if count > 1},
        "unknown": renamed.keys() - own.keys(),
        "missing": own.keys() - renamed.keys(),
        "of another shape": {name for name in renamed.keys() & own.keys() if not _alike(renamed[name], own[name])},
    }
    if any(faults.values()):
        said = "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in faults.items() if names)
        raise AvgzslError(f"these weights do not fit; give the method and settings they are of ({said})")
    module.load_state_dict({name: value.reshape(own[name].shape) for name, value in renamed.items()})


def _rename(name: str, prefixes: Mapping[str, str]) -> str:
    best = max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default="")
    return prefixes.get(best, "") + name.removeprefix(best)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.squeeze().shape == other.squeeze().shape

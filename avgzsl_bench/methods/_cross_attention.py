"""A transformer over sound, a class token and picture that spares what its mask forbids, and batch norm that spares padding."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers

SHORT = 256  # up to so many tokens one masked attention is cheaper than three that leave out what the mask forbids


class Span(NamedTuple):
    """Queries, the keys that they may attend to, and which of those are not padding."""

    queries: slice
    keys: slice
    allowed: Tensor  # (clips, 1, 1 or queries, keys) bool


def spans_of(attention: str, place: int, real: Tensor) -> list[Span]:
    """Who may attend to whom among sound, the class token at `place`, and picture; `real` (clips, tokens) is no padding."""
    count = real.shape[1]
    sound, token, picture, everything = slice(0, place), slice(place, place + 1), slice(place + 1, count), slice(0, count)
    to_sound, to_picture = slice(0, place + 1), slice(place, count)
    pairs = {
        "cross": [(sound, to_picture), (token, everything), (picture, to_sound)],
        "self": [(sound, to_sound), (token, everything), (picture, to_picture)],
        "full": [(everything, everything)],
    }[attention]
    if count > SHORT:
        return [Span(queries, keys, real[:, None, None, keys]) for queries, keys in pairs]
    allowed = real.new_zeros(count, count)
    for queries, keys in pairs:
        allowed[queries, keys] = True
    return [Span(everything, everything, allowed & real[:, None, None])]


class TokenEncoder(nn.Sequential):
    """Two blocks of linear, batch norm, ReLU and dropout, on every token by itself."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float) -> None:
        first = (nn.Linear(inputs, hidden), TokenNorm(hidden), nn.ReLU(), layers.Dropout(dropout))
        super().__init__(*first, nn.Linear(hidden, outputs), TokenNorm(outputs), nn.ReLU(), layers.Dropout(dropout))

    def forward(self, input: Tensor, real: Tensor | None = None) -> Tensor:
        """(clips, time, inputs) to (clips, time, outputs); where `real` (clips, time) is given, statistics are of those only."""
        rows, counted = input.flatten(0, 1), None if real is None else real.flatten().to(input)
        for block in self:
            rows = block(rows, counted) if isinstance(block, TokenNorm) else block(rows)
        apart: Tensor = rows.unflatten(0, input.shape[:2])
        return apart


class TokenNorm(nn.BatchNorm1d):
    """Batch norm whose statistics can leave padding out."""

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, input: Tensor, real: Tensor | None = None) -> Tensor:
        """Rows (tokens, dim), all of which are normalised; in training by those where `real` (tokens,) is 1, if given."""
        if real is None or not self.training:
            return super().forward(input)
        count = real.sum()
        mean = real @ input / count
        centred = input - mean
        variance = real @ centred.square() / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.mul_(1 - self.momentum).add_(self.momentum * mean)
            self.running_var.mul_(1 - self.momentum).add_(self.momentum * unbiased)
        return centred * (torch.rsqrt(variance + self.eps) * self.weight) + self.bias


class Layer(nn.Module):
    """One layer of the transformer: attention and a two-layer network, both after the same layer norm."""

    def __init__(self, width: int, heads: int, head_width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key = nn.Linear(width, inner, bias=False)
        self.value = nn.Linear(width, inner, bias=False)
        self.join = nn.Sequential(nn.Linear(inner, width), layers.Dropout(dropout))
        self.feed = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), layers.Dropout(dropout), nn.Linear(hidden, width), layers.Dropout(dropout)
        )

    def forward(self, tokens: Tensor, spans: list[Span]) -> Tensor:
        """(clips, tokens, width) to (clips, queries of all spans in a row, width)."""
        inner = self.norm(tokens)
        key, value = self._heads(self.key(inner)), self._heads(self.value(inner))
        mixed = [
            F.scaled_dot_product_attention(
                self._heads(self.query(inner[:, queries])), key[:, :, keys], value[:, :, keys], attn_mask=allowed
            )
            for queries, keys, allowed in spans
        ]
        tokens = torch.cat([tokens[:, span.queries] for span in spans], 1)
        tokens = tokens + self.join(torch.cat(mixed, 2).transpose(1, 2).flatten(2))
        refined: Tensor = tokens + self.feed(self.norm(tokens))
        return refined

    def _heads(self, projected: Tensor) -> Tensor:
        apart: Tensor = projected.unflatten(-1, (self.heads, -1))
        return apart.transpose(1, 2)  # (clips, heads, tokens, head width)

"""A transformer over sound, class tokens and picture that spares what its mask forbids, and batch norm that spares padding."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers

SHORT = 256  # up to so many tokens one masked attention is cheaper than three that leave out what the mask forbids


class Span(NamedTuple):
    """Queries, the keys that they may attend to, and which of those belong to the same clip."""

    queries: slice
    keys: slice
    allowed: Tensor  # (rows, 1, queries, keys) bool


def spans_of(attention: str, sound: Tensor, token: Tensor, picture: Tensor) -> list[Span]:
    """Who may attend to whom among sound, class tokens and picture, which lie in a row in this order.

    Of each: the clip that it belongs to (rows, count), negative in padding.
    """
    clip = torch.cat([sound, token, picture], 1)
    first, last, count = sound.shape[1], sound.shape[1] + token.shape[1], clip.shape[1]
    sounds, tokens, pictures, everything = slice(0, first), slice(first, last), slice(last, count), slice(0, count)
    to_sound, to_picture = slice(0, last), slice(first, count)
    pairs = {
        "cross": [(sounds, to_picture), (tokens, everything), (pictures, to_sound)],
        "self": [(sounds, to_sound), (tokens, everything), (pictures, to_picture)],
        "full": [(everything, everything)],
    }[attention]
    if count > SHORT:
        return [span_of(clip, queries, keys) for queries, keys in pairs]
    allowed = torch.zeros(count, count, dtype=torch.bool, device=clip.device)
    for queries, keys in pairs:
        allowed[queries, keys] = True
    whole = span_of(clip, everything, everything)
    return [whole._replace(allowed=whole.allowed & allowed)]


def span_of(clip: Tensor, queries: slice, keys: slice) -> Span:
    """Attention of some of a row to some of it; `clip` (rows, count) as in `spans_of`."""
    asking = clip[:, queries, None]
    # padding attends to everything, for attention to nothing is not a number
    return Span(queries, keys, ((asking == clip[:, None, keys]) | (asking < 0))[:, None])


def through(blocks: Iterable[nn.Module], tokens: Tensor, names: Tensor) -> Tensor:
    """Tokens (..., dim) through blocks one by one; dropout is drawn for their `names` (...)."""
    for block in blocks:
        tokens = block(tokens, names) if isinstance(block, layers.Dropout) else block(tokens)
    return tokens


class TokenEncoder(nn.ModuleList):
    """Two blocks of linear, batch norm, ReLU and dropout, on every token by itself."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float) -> None:
        first = (nn.Linear(inputs, hidden), TokenNorm(hidden), nn.ReLU(), layers.Dropout(dropout))
        super().__init__([*first, nn.Linear(hidden, outputs), TokenNorm(outputs), nn.ReLU(), layers.Dropout(dropout)])

    def forward(self, tokens: Tensor, names: Tensor, counted: Tensor) -> Tensor:
        """(rows, time, inputs) to (rows, time, outputs); statistics are of those where `counted` (rows, time).

        Dropout is drawn for the `names` (rows, time) of tokens.
        """
        flat, flat_names, weight = tokens.flatten(0, 1), names.flatten(), counted.flatten().to(tokens)
        for block in self:
            flat = block(flat, weight) if isinstance(block, TokenNorm) else through([block], flat, flat_names)
        apart: Tensor = flat.unflatten(0, tokens.shape[:2])
        return apart


class TokenNorm(nn.BatchNorm1d):
    """Batch norm whose statistics can leave padding out."""

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, input: Tensor, counted: Tensor | None = None) -> Tensor:
        """Rows (tokens, dim), all of which are normalised; in training by those where `counted` (tokens,) is 1, if given."""
        if counted is None or not self.training:
            return super().forward(input)
        count = counted.sum()
        mean = counted @ input / count
        centred = input - mean
        variance = counted @ centred.square() / count
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

    def forward(self, tokens: Tensor, spans: list[Span], names: Tensor) -> Tensor:
        """(rows, tokens, width) to (rows, queries of all spans in a row, width); dropout is drawn for `names` (rows, queries)."""
        inner = self.norm(tokens)
        key, value = self._heads(self.key(inner)), self._heads(self.value(inner))
        mixed = [
            F.scaled_dot_product_attention(
                self._heads(self.query(inner[:, queries])), key[:, :, keys], value[:, :, keys], attn_mask=allowed
            )
            for queries, keys, allowed in spans
        ]
        tokens = torch.cat([tokens[:, span.queries] for span in spans], 1)
        tokens = tokens + through(self.join, torch.cat(mixed, 2).transpose(1, 2).flatten(2), names)
        return tokens + through(self.feed, self.norm(tokens), names)

    def _heads(self, projected: Tensor) -> Tensor:
        apart: Tensor = projected.unflatten(-1, (self.heads, -1))
        return apart.transpose(1, 2)  # (rows, heads, tokens, head width)

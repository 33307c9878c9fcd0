"""Ragged sequences into padded batches: where clips are cropped, what is padding, and when each token was heard or seen."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avgzsl_bench.clips import Tokens


class Padded(NamedTuple):
    """Sequences of one modality, padded at their end."""

    values: Tensor  # (clips, time, dim) float32, 0 in padding
    mask: Tensor  # (clips, time) bool, True where a token is real
    time: Tensor  # (clips, time) float32, seconds from the start of the clip


class Limits(NamedTuple):
    """Tokens that a batch is cropped or padded to; 0 takes whole clips."""

    audio: int = 0
    video: int = 0


def gather(
    audio: Tokens,
    video: Tokens,
    seconds: Mapping[str, float],
    index: NDArray[np.int64],
    limits: Limits,
    place: NDArray[np.float64] | None,
    device: torch.device,
) -> tuple[Padded, Padded]:
    """Audio and video of the clips at `index`, cropped at the same time.

    `place` (clips,) in [0, 1) says where in a longer video the crop begins, from its first to its last possible token; None
    is the middle. The audio's crop begins at the token of that time, or where its last tokens fit.
    """
    spare = _spare(video, index, limits.video)
    begin = spare // 2 if place is None else (place * (spare + 1)).astype(np.int64)
    heard = np.rint(begin * seconds["video"] / seconds["audio"]).astype(np.int64)
    begin_audio = np.minimum(heard, _spare(audio, index, limits.audio))
    return (
        _padded(audio, index, begin_audio, limits.audio, seconds["audio"], device),
        _padded(video, index, begin, limits.video, seconds["video"], device),
    )


def _spare(tokens: Tokens, index: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """By how many tokens each clip is longer than the limit (clips,)."""
    return np.maximum(tokens.length[index] - limit, 0) if limit else np.zeros(len(index), np.int64)


def _padded(
    tokens: Tokens, index: NDArray[np.int64], begin: NDArray[np.int64], limit: int, seconds: float, device: torch.device
) -> Padded:
    count = tokens.length[index] - begin
    longest = limit or int(count.max())
    count = np.minimum(count, longest)
    rows = np.zeros((len(index), longest, tokens.dim), tokens.parts[0].dtype)
    for row, clip, first, n in zip(rows, index, begin, count, strict=True):
        row[:n] = tokens.clip(clip)[first : first + n]
    token = torch.arange(longest, device=device)
    starts, counts = (torch.from_numpy(column).to(device)[:, None] for column in (begin, count))
    # quantised tokens travel as bytes and become numbers on the device
    return Padded(torch.from_numpy(rows).to(device).float(), token < counts, ((starts + token) * seconds).float())

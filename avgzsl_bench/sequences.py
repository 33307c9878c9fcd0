"""Ragged sequences into padded batches: where clips are cropped, what is padding, and when each token was heard or seen."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avgzsl_bench.clips import Tokens
from avgzsl_bench.contracts import ABSENT, Packing

SEATS = 4  # clips that share a row at most: few rows of sequences like UCF's have room for more, and every row has all seats


class Padded(NamedTuple):
    """Sequences of one modality: a clip a row, or several after one another; padded at their end."""

    values: Tensor  # (rows, time, dim) float32, 0 in padding
    mask: Tensor  # (rows, time) bool, True where a token is real
    time: Tensor  # (rows, time) float32, seconds from the start of the clip
    clip: Tensor  # (rows, time) int64, the number of the token's clip in the batch, -1 in padding


class Limits(NamedTuple):
    """Tokens that a batch is cropped or padded to; 0 takes whole clips."""

    audio: int = 0
    video: int = 0


class Crops(NamedTuple):
    """What is taken of each clip of one modality."""

    clip: NDArray[np.int64]  # (clips,) among all
    begin: NDArray[np.int64]  # (clips,) its first token
    size: NDArray[np.int64]  # (clips,) tokens


def gather(
    audio: Tokens,
    video: Tokens,
    seconds: Mapping[str, float],
    index: NDArray[np.int64],
    limits: Limits,
    place: NDArray[np.float64] | None,
    device: torch.device,
    packed: int = 0,
) -> tuple[Padded, Padded, Packing]:
    """Audio and video of the clips at `index`, cropped at the same time: a clip a row, or packed into few rows.

    `place` (clips,) in [0, 1) says where in a longer video the crop begins, from its first to its last possible token; None
    is the middle. The audio's crop begins at the token of that time, or where its last tokens fit. Rows that are `packed` are
    so many times as long as the longest clip; the third part is there for them only.
    """
    spare = _spare(video, index, limits.video)
    begin = spare // 2 if place is None else (place * (spare + 1)).astype(np.int64)
    heard = np.rint(begin * seconds["video"] / seconds["audio"]).astype(np.int64)
    sound = _crop(audio, index, np.minimum(heard, _spare(audio, index, limits.audio)), limits.audio)
    picture = _crop(video, index, begin, limits.video)
    need = np.stack([sound.size, picture.size, np.ones_like(index)], 1)
    if packed:
        row, first = _seated(need, np.array([*packed * need.max(0)[:2], SEATS]))
        limits = Limits()
    else:
        row, first = np.arange(len(index)), np.zeros_like(need)
    sounds = _laid(audio, sound, row, first[:, 0], limits.audio, seconds["audio"], device)
    pictures = _laid(video, picture, row, first[:, 1], limits.video, seconds["video"], device)
    return sounds, pictures, _packing(sounds, pictures, row, first[:, 2]) if packed else ABSENT


def _spare(tokens: Tokens, index: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """By how many tokens each clip is longer than the limit (clips,)."""
    return np.maximum(tokens.length[index] - limit, 0) if limit else np.zeros(len(index), np.int64)


def _crop(tokens: Tokens, index: NDArray[np.int64], begin: NDArray[np.int64], limit: int) -> Crops:
    count = tokens.length[index] - begin
    return Crops(index, begin, np.minimum(count, limit) if limit else count)


def _seated(need: NDArray[np.int64], room: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row of each clip (clips,), and where in it the clip begins (clips, kinds): longest first, each where it first fits.

    A clip takes as much of each kind as it `need`s (clips, kinds), of the `room` (kinds,) that every row has.
    """
    left = np.tile(room, (len(need), 1))
    row, first = np.zeros(len(need), np.int64), np.zeros_like(need)
    for clip in np.argsort(-need.sum(1), kind="stable"):
        row[clip] = (left >= need[clip]).all(1).argmax()
        first[clip] = room - left[row[clip]]
        left[row[clip]] -= need[clip]
    return row, first


def _packing(audio: Padded, video: Padded, row: NDArray[np.int64], seat: NDArray[np.int64]) -> Packing:
    clips = np.full((row.max() + 1, seat.max() + 1), -1)
    clips[row, seat] = np.arange(len(row))
    taken, seats = (torch.from_numpy(part).to(audio.clip.device) for part in (clips, np.stack([row, seat], 1)))
    return Packing(audio.clip, video.clip, taken, seats)


def _laid(
    tokens: Tokens,
    crops: Crops,
    row: NDArray[np.int64],
    first: NDArray[np.int64],
    limit: int,
    seconds: float,
    device: torch.device,
) -> Padded:
    """Each clip in its `row` (clips,) from column `first` (clips,) on."""
    shape = (int(row.max()) + 1, limit or int((first + crops.size).max()))
    values = np.zeros((*shape, tokens.dim), tokens.parts[0].dtype)
    number, origin = np.full(shape, -1), np.zeros(shape, np.int64)
    for i in np.lexsort((first, row)):  # from the left, since time runs on in padding
        columns = slice(first[i], first[i] + crops.size[i])
        values[row[i], columns] = tokens.clip(crops.clip[i])[crops.begin[i] :][: crops.size[i]]
        number[row[i], columns] = i
        origin[row[i], first[i] :] = crops.begin[i] - first[i]
    # quantised tokens travel as bytes and become numbers on the device
    laid, clip, token = (torch.from_numpy(part).to(device) for part in (values, number, origin + np.arange(shape[1])))
    return Padded(laid.float(), clip >= 0, (token * seconds).float(), clip)

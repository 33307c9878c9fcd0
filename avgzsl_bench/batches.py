"""Clips at hand: on the device or mapped from disk, the class-uniform sampler, and batches of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avgzsl_bench.contracts import Batch, ClassText, Clips, Tokens, Training
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.randomness import uniform
from avgzsl_bench.sequences import Limits, gather

Seconds = Mapping[str, float]  # from one token of a modality to the next


class Held(NamedTuple):
    """Clips at hand: averaged features on the device, or sequences that stay mapped and are gathered batch by batch."""

    audio: Tensor | Tokens  # (clips, dim)
    video: Tensor | Tokens  # (clips, dim)
    seconds: Seconds
    device: torch.device
    dtype: torch.dtype = torch.float32

    def batch(self, index: Tensor, limits: Limits = Limits(), place: Tensor | None = None, packed: int = 0) -> Batch:
        """The clips at `index` (clips,), without labels; `place` in [0, 1) is where each longer sequence is cropped."""
        if isinstance(self.audio, Tensor) and isinstance(self.video, Tensor):
            return Batch(audio=_rows(self.audio, index), video=_rows(self.video, index))
        assert isinstance(self.audio, Tokens), "both modalities are averaged, or neither"
        assert isinstance(self.video, Tokens), "both modalities are averaged, or neither"
        where = None if place is None else place.numpy()
        tokens = (self.audio, self.video, self.seconds)
        audio, video, packing = gather(*tokens, index.numpy(), limits, where, self.device, packed)
        return Batch(
            audio=audio.values.to(self.dtype),
            video=video.values.to(self.dtype),
            audio_mask=audio.mask,
            video_mask=video.mask,
            audio_time=audio.time.to(self.dtype),
            video_time=video.time.to(self.dtype),
            packing=packing,
        )

    @property
    def temporal(self) -> bool:
        """Whether these are sequences."""
        return isinstance(self.audio, Tokens)


class Pool(NamedTuple):
    """Training clips, and what the class-uniform sampler needs, on the device."""

    clips: Held
    label: Tensor  # (clips,) row of the class among the training classes
    order: Tensor  # (clips,) clips sorted by class
    start: Tensor  # (classes,) where a class begins in `order`
    size: Tensor  # (classes,) its number of clips


def pool(
    clips: Clips,
    class_ids: Sequence[int],
    device: torch.device,
    seconds: Seconds | None = None,
    dtype: torch.dtype = torch.float32,
) -> Pool:
    """Clips to train on. Raises AvgzslError when a class has no clips or a clip no class."""
    rows = rows_of(clips.label, class_ids)
    count = np.bincount(rows, minlength=len(class_ids))
    if (count == 0).any():
        empty = [class_ids[i] for i in np.flatnonzero(count == 0)[:5]]
        raise AvgzslError(f"training classes without clips: ids {empty}; import the data again (`avgzsl data verify`)")
    arrays = (rows, np.argsort(rows, kind="stable"), np.cumsum(count) - count, count)
    return Pool(hold(clips, device, seconds, dtype), *(_moved(array, device) for array in arrays))


def hold(clips: Clips, device: torch.device, seconds: Seconds | None = None, dtype: torch.dtype = torch.float32) -> Held:
    """Clips for batches: averaged features move to the device once; sequences stay where they are."""
    parts = (clips.audio, clips.video)
    audio, video = (part if isinstance(part, Tokens) else _moved(part, device).to(dtype) for part in parts)
    return Held(audio, video, seconds or {}, device, dtype)


def _moved(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _rows(part: Tensor, index: Tensor) -> Tensor:
    """(..., dim) from (clips, dim) and an index (...): in half the time of indexing with it."""
    return part.index_select(0, index.reshape(-1)).view(*index.shape, -1)


def everything(data: Pool, classes: ClassText) -> Training:
    """All that is trained on, for methods that fit in `prepare`; sequences stay on disk."""
    audio, video = data.clips.audio, data.clips.video
    if isinstance(audio, Tensor) and isinstance(video, Tensor):
        return Training(Batch(label=data.label, audio=audio, video=video), classes)
    return Training(Batch(label=data.label), classes)


def rows_of(label: NDArray[np.int64], class_ids: Sequence[int]) -> NDArray[np.int64]:
    """The position of each clip's class in ascending `class_ids`."""
    ids = np.asarray(class_ids)
    rows = np.searchsorted(ids, label).clip(max=len(ids) - 1)
    if (ids[rows] != label).any():
        raise AvgzslError(f"clips of classes {sorted(set(label[ids[rows] != label].tolist()))[:5]} that are not in this subset")
    return rows


def draw(data: Pool, clips: int, key: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of clips and of a clip of another class each, (clips,): class uniform, then clip uniform in its class."""
    classes = len(data.size)
    dice = uniform(key, (4, clips))
    row = (dice[0] * classes).long()
    other = (row + 1 + (dice[2] * (classes - 1)).long()) % classes
    return _within(data, row, dice[1]), _within(data, other, dice[3])


def _within(data: Pool, row: Tensor, dice: Tensor) -> Tensor:
    return data.order[data.start[row] + (dice * data.size[row]).long()]


def batch_of(data: Pool, index: Tensor, negative: Tensor | None = None) -> Batch:
    """The clips at `index` with their labels, beside the negative clips where a method needs them."""
    batch = data.clips.batch(index)._replace(label=data.label[index])
    if negative is None:
        return batch
    other = data.clips.batch(negative)
    return batch._replace(label_negative=data.label[negative], audio_negative=other.audio, video_negative=other.video)

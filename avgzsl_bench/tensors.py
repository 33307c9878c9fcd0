"""What a method is given: batches of clips, class text, and the widths it is built for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

ABSENT: Any = ()  # a part that is not there: an empty tuple is a leafless tree, so torch.func passes it through


class Packing(NamedTuple):
    """Whose tokens those of a packed batch are: short clips share a row, after one another."""

    audio: Tensor  # (rows, time) int64, the number of the token's clip in the batch, negative in padding
    video: Tensor  # (rows, time)
    clips: Tensor  # (rows, seats) int64, the clips of each row, negative where a seat is empty
    seat: Tensor  # (clips, 2) int64, row and seat of each clip


class Batch(NamedTuple):
    """Clips and the row of each one's class in the ClassText beside it. Parts a method does not need are `()`."""

    label: Tensor = ABSENT  # (clips,) int64, row in ClassText
    audio: Tensor = ABSENT  # (clips, dim), or (clips, time, dim) for temporal methods; padding is 0
    video: Tensor = ABSENT  # (clips, dim), or (clips, time, dim)
    label_negative: Tensor = ABSENT  # (clips,) a clip of another class, for methods that need "negatives"
    audio_negative: Tensor = ABSENT
    video_negative: Tensor = ABSENT
    audio_mask: Tensor = ABSENT  # (clips, time) bool, True where a token is real
    video_mask: Tensor = ABSENT
    audio_time: Tensor = ABSENT  # (clips, time) seconds from the start of the clip, also in padding and after a crop
    video_time: Tensor = ABSENT
    packing: Packing = ABSENT  # where audio and video are (rows, time, dim), for methods that are `packed`


class ClassText(NamedTuple):
    """Class text of the classes in play, one row a class."""

    vectors: Tensor  # (classes, texts, dim); every class has equally many texts
    seen: Tensor = ABSENT  # (classes,) bool: trained on in this stage; absent in training, where all are


class Training(NamedTuple):
    """All clips and class texts of the stage's training split, for methods that fit in `prepare`."""

    batch: Batch  # of temporal features the labels only: they stay on disk
    classes: ClassText


class Shapes(NamedTuple):
    """Widths a method is built for. `shared`: modalities whose features live in the space of the class text, and its columns."""

    audio: int
    video: int
    text: int
    classes: int = 0
    texts: int = 1
    shared: Mapping[str, tuple[int, int]] = MappingProxyType({})  # modality -> first column of the text, and the one after

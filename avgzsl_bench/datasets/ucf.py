"""UCF-GZSL: clips of UCF101 that have sound."""

from pathlib import Path

from avgzsl_bench.clips import ClassInfo, Dataset, Splits
from avgzsl_bench.datasets import _authors
from avgzsl_bench.importers.layout import ClipIds, Layout

CLIP_IDS = ClipIds(r"(v_.+_g\d\d)_c\d\d", "v_synthetic_{name}_g{video:02d}_c{part:02d}", 25)
"""Class, group and number of the clip; the clips of a group were cut from one video."""


class Ucf(Dataset):
    """51 of the 101 action classes of UCF101 are used: 30 to train, 12 validation-unseen, 9 (main) or 6 (cls) test-unseen."""

    name = "ucf"
    revision = "1"
    licence = "none stated by its authors"
    citation = _authors.CITATION.format(
        "Soomro, Zamir, Shah, UCF101: A Dataset of 101 Human Action Classes From Videos in the Wild, 2012"
    )
    features = _authors.FEATURES
    splits = _authors.SPLITS
    presets = _authors.PRESETS

    def classes(self, split: str) -> tuple[ClassInfo, ...]:
        return _authors.classes(self.name, split)

    def source_video(self, clip_id: str) -> str:
        return CLIP_IDS.source_video(clip_id)

    def open(self, store: Path, features: str, split: str, temporal: bool = False) -> Splits:
        return _authors.open_imported(self, store, features, split, temporal)

    def layout(self, preset: str, split: str | None, temporal: bool = False) -> Layout:
        """Where the authors' files of a preset are and what they must hold, for `avgzsl data import`."""
        return _authors.layout(self, "UCF", True, CLIP_IDS, preset, split, temporal)


MEMBER = Ucf

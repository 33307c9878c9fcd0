"""VGGSound-GZSL: clips of VGGSound, whose classes are sounds."""

from pathlib import Path

from avgzsl_bench.clips import ClassInfo, Dataset, Splits
from avgzsl_bench.datasets import _authors
from avgzsl_bench.importers.layout import ClipIds, Layout

CLIP_IDS = ClipIds(r"([\w-]{11})_\d{6}", "synth{class_id:03d}{video:03x}_{part:05d}0", 4095)
"""The video's id at YouTube, and the second at which the clip begins."""


class VggSound(Dataset):
    """276 of the 309 classes of VGGSound are used: 138 to train, 69 validation-unseen, 69 (main) or 64 (cls) test-unseen."""

    name = "vggsound"
    revision = "1"
    licence = "annotations CC BY 4.0; the videos are their owners'"
    citation = _authors.CITATION.format(
        "Chen, Xie, Vedaldi, Zisserman, VGGSound: A Large-scale Audio-Visual Dataset, ICASSP 2020"
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
        return _authors.layout(self, "VGGSound", False, CLIP_IDS, preset, split, temporal)


MEMBER = VggSound

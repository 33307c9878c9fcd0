"""ActivityNet-GZSL: segments of ActivityNet."""

from pathlib import Path

from avgzsl_bench.clips import ClassInfo, Dataset, Splits
from avgzsl_bench.datasets import _authors
from avgzsl_bench.importers.layout import ClipIds, Layout

CLIP_IDS = ClipIds(r"([\w-]{11})_\d+", "synth{class_id:03d}{video:03x}_{part}", 4095)
"""The video's id at YouTube, and the number of the segment."""


class ActivityNet(Dataset):
    """All 200 classes of ActivityNet 1.3 are used: 99 to train, 51 validation-unseen, 50 (main) or 48 (cls) test-unseen."""

    name = "activitynet"
    revision = "1"
    licence = "none stated by its authors"
    citation = _authors.CITATION.format(
        "Caba Heilbron et al., ActivityNet: A Large-Scale Video Benchmark for Human Activity Understanding, CVPR 2015"
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
        return _authors.layout(self, "ActivityNet", True, CLIP_IDS, preset, split, temporal)


MEMBER = ActivityNet

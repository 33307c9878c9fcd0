"""A table of the user's own, known from its manifest in the store."""

from functools import cached_property
from pathlib import Path

from avgzsl_bench import features as store
from avgzsl_bench import files
from avgzsl_bench.clips import ClassInfo, Dataset, FeatureSet, Splits
from avgzsl_bench.datasets import OWN


class Table(Dataset):
    """The data set that `avgzsl data import NAME --table` made. Its classes are in the order of their names."""

    revision = "own"
    licence = "the user's own"
    citation = "A data set of the user's own"
    splits = ("main",)
    presets = {OWN: (OWN, "main")}  # noqa: RUF012

    def __init__(self, name: str) -> None:
        self._manifest = store.read_manifest(store.store_folder(files.data_root(), name, OWN, "main"))
        self.name = name  # type: ignore[misc]
        self.features = {OWN: FeatureSet(self._manifest.audio, self._manifest.video)}  # type: ignore[misc]

    def classes(self, split: str) -> tuple[ClassInfo, ...]:
        return tuple(self._manifest.classes)

    def source_video(self, clip_id: str) -> str:
        return self._videos.get(clip_id, clip_id)

    @cached_property
    def _videos(self) -> dict[str, str]:
        given = [subset for subset in self._manifest.subsets.values() if subset.videos]
        return {clip: video for subset in given for clip, video in zip(subset.ids, subset.videos or (), strict=True)}

    def open(self, store_root: Path, features: str, split: str, temporal: bool = False) -> Splits:
        folder = store.store_folder(store_root, self.name, features, split)
        missing = f"{self.name} is not in {store_root}; `avgzsl data import {self.name} --table` brings it there"
        return store.open_splits(folder, self.classes(split), self.features[features], missing)

"""What the three data sets of the AVCA family share: class lists, feature sets, splits, and where their files go."""

import csv
from functools import cache
from pathlib import Path

from avgzsl_bench import features as store
from avgzsl_bench import plugins
from avgzsl_bench.clips import SUBSETS, ClassInfo, Dataset, FeatureSet, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.importers.layout import Layout

FEATURES = {"selavi": FeatureSet(512, 512), "c3d_vggish": FeatureSet(128, 4096), "clip_clap": FeatureSet(1024, 512)}
SPLITS = ("main", "cls")
PRESETS = {"main": ("selavi", "main"), "cls": ("c3d_vggish", "cls")}
CITATION = (
    "{}; generalised zero-shot splits and features: Mercea, Riesch, Koepke, Akata, "
    "Audio-visual Generalised Zero-shot Learning with Cross-modal Attention and Language, CVPR 2022"
)


@cache
def _rows(name: str) -> list[dict[str, str]]:
    with (Path(__file__).parent / "classes" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def classes(name: str, split: str) -> tuple[ClassInfo, ...]:
    """Every class of a data set by id, with its role in this split."""
    return tuple(ClassInfo(row["name"], row["text_name"], row[split]) for row in _rows(name))  # type: ignore[arg-type]


def counts(name: str) -> dict[str, dict[int, int]]:
    """Clips of each class in each subset as published; a class whose count is not known (`?` in the list) is absent."""
    return {subset: {i: int(row[subset]) for i, row in enumerate(_rows(name)) if row[subset].isdigit()} for subset in SUBSETS}


def layout(dataset: Dataset, folder: str, fold_case: bool, preset: str, split: str | None) -> Layout:
    """The authors' files of one preset, read under its own split unless another is named.

    Raises AvgzslError for a preset or split that the authors have no files of.
    """
    for what, given, known in (("preset", preset, PRESETS), ("split", split or "main", SPLITS)):
        if given not in known:
            raise AvgzslError(plugins.unknown(what, given, list(known), "avgzsl data import --help"))
    chosen, own_split = PRESETS[preset]
    used = split or own_split
    return Layout(
        dataset=dataset.name,
        revision=dataset.revision,
        folder=folder,
        kind=preset,
        features=chosen,
        split=used,
        widths=FEATURES[chosen],
        classes=dataset.classes(used),
        counts=counts(dataset.name),
        fold_case=fold_case,
    )


def open_imported(dataset: Dataset, root: Path, features: str, split: str) -> Splits:
    """Open what was imported; the error of what was not names the command that does."""
    folder = store.store_folder(root, dataset.name, features, split)
    preset = next((name for name, (chosen, _) in PRESETS.items() if chosen == features), None)
    flags = f"--features {preset}" + ("" if preset and PRESETS[preset][1] == split else f" --split {split}")
    how = f"avgzsl data import {dataset.name} PATH {flags}" if preset else "avgzsl data import NAME --table"
    missing = f"{dataset.name} features {features}, split {split}, are not in {root}; `{how}` brings them there"
    return store.open_splits(folder, dataset.classes(split), FEATURES[features], missing)

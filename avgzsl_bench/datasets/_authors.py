"""What the three data sets of the AVCA family share: class lists, feature sets, splits, and where their files go."""

import csv
from functools import cache
from pathlib import Path

from avgzsl_bench import features as store
from avgzsl_bench import plugins
from avgzsl_bench.clips import SUBSETS, ClassInfo, Dataset, FeatureSet, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.importers.layout import FPS, ClipIds, Layout

FEATURES = {
    "selavi": FeatureSet(512, 512, seconds={"audio": 1.0, "video": 1.0}),
    "c3d_vggish": FeatureSet(128, 4096, seconds={"audio": 0.96, "video": 16 / FPS}),  # C3D reads 16 frames at a time
    "clip_clap": FeatureSet(1024, 512, spaces={"audio": "clap:HTSAT-BERT:wavcaps-zero-shot", "video": "clip:ViT-B-32:openai"}),
}
SPLITS = ("main", "cls")
PRESETS = {"main": ("selavi", "main"), "cls": ("c3d_vggish", "cls"), "clipclap": ("clip_clap", "cls")}
_FOLDERS = {  # (preset, temporal) -> folders of `features`; the second name is what the authors' extraction scripts write
    ("main", False): ("main_features",),
    ("cls", False): ("cls_features",),
    ("main", True): ("main_features_non_averaged", "main_features_no_averaged"),
    ("cls", True): ("cls_features_non_averaged", "cls_features_no_averaged"),
    ("clipclap", False): ("cls_features_non_averaged",),
}
_ALIKE = {  # two papers use one folder name; the width of audio tells them apart
    ("cls", True): {1024: "the ClipClap features: --features clipclap"},
    ("clipclap", False): {128: "the sequences of C3D and VGGish: --features cls --temporal"},
}
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


def _trained(name: str) -> dict[int, int]:
    """Clips of each class in test_seen whose source video stands in training, as counted in the authors' clip lists.

    VGGSound's list of stage_1_train was not at hand, so its counts are of the validation lists alone.
    """
    return {i: int(row["test_seen_of_trained_videos"]) for i, row in enumerate(_rows(name)) if row["test_seen"]}


def layout(
    dataset: Dataset, folder: str, fold_case: bool, clip_ids: ClipIds, preset: str, split: str | None, temporal: bool
) -> Layout:
    """The authors' files of one preset, read under its own split unless another is named.

    Raises AvgzslError for a preset or split that the authors have no files of, and for sequences of what has none.
    """
    for what, given, known in (("preset", preset, PRESETS), ("split", split or "main", SPLITS)):
        if given not in known:
            raise AvgzslError(plugins.unknown(what, given, list(known), "avgzsl data import --help"))
    if (preset, temporal) not in _FOLDERS:
        raise AvgzslError(f"the features {preset} have one vector a clip and no sequences; leave --temporal out")
    chosen, own_split = PRESETS[preset]
    used = split or own_split
    bases = tuple(f"features/{name}" for name in _FOLDERS[preset, temporal])
    return Layout(
        dataset=dataset.name,
        revision=dataset.revision,
        folder=folder,
        kind=preset,
        bases=bases,
        suffix="pkl" if bases[0].endswith("_non_averaged") else "h5",
        features=chosen,
        split=used,
        temporal=temporal,
        widths=FEATURES[chosen],
        classes=dataset.classes(used),
        counts=counts(dataset.name),
        trained=_trained(dataset.name),
        clip_ids=clip_ids,
        fold_case=fold_case,
        word2vec=preset != "clipclap",
        alike=_ALIKE.get((preset, temporal), {}),
    )


def open_imported(dataset: Dataset, root: Path, features: str, split: str, temporal: bool) -> Splits:
    """Open what was imported; the error of what was not names the command that does."""
    folder = store.store_folder(root, dataset.name, features, split, temporal)
    preset = next(name for name, (chosen, _) in PRESETS.items() if chosen == features)
    flags = f"--features {preset}{'' if PRESETS[preset][1] == split else f' --split {split}'}{' --temporal' if temporal else ''}"
    what = f"{dataset.name} features {features}, split {split}{', temporal' if temporal else ''}"
    missing = f"{what}, are not in {root}; `avgzsl data import {dataset.name} PATH {flags}` brings them there"
    return store.open_splits(folder, dataset.classes(split), FEATURES[features], missing)

"""Questions to a data set; those about clips are skipped where its features are not in the store."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np

from avgzsl_bench import files, plugins
from avgzsl_bench.clips import Tokens
from avgzsl_bench.contracts import SUBSETS, ClassInfo, Dataset, Role, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.testing.kit import Skip

ROLES_OF = {
    "train": {"train"},
    "validation_seen": {"train"},
    "validation_unseen": {"validation_unseen"},
    "test_seen": {"train", "validation_unseen"},
    "test_unseen": {"test_unseen"},
}


def subjects(name: str) -> dict[str, Callable[[], Dataset]]:
    """The data set by its name."""
    return {name: partial(_subject, name)}


def _subject(name: str) -> Dataset:
    dataset: Dataset = plugins.load("datasets", name)()
    return dataset


def says_where_it_comes_from(dataset: Dataset) -> None:
    """Revision, licence and citation are there."""
    missing = [fact for fact in ("name", "revision", "licence", "citation") if not getattr(dataset, fact, "")]
    assert not missing, f"{', '.join(missing)} missing or empty"


def declares_features_and_splits(dataset: Dataset) -> None:
    """Widths are positive, and presets lead to feature sets and splits that exist."""
    assert dataset.features, "no feature set is declared"
    for name, widths in dataset.features.items():
        assert min(widths.audio, widths.video) > 0, f"feature set {name!r} has widths {widths.audio} and {widths.video}"
        assert set(widths.spaces) <= {"audio", "video"}, f"feature set {name!r} names spaces of {set(widths.spaces)}"
        periods = dict(widths.seconds)
        assert not periods or set(periods) == {"audio", "video"}, f"feature set {name!r} has token periods {periods}"
        assert all(seconds > 0 for seconds in periods.values()), f"feature set {name!r} has token periods {periods}"
    assert dataset.splits, "no split is declared"
    assert dataset.presets, "no preset is declared; the first is what `--features` means when left out"
    for preset, (features, split) in dataset.presets.items():
        assert features in dataset.features, f"preset {preset!r} leads to the unknown feature set {features!r}"
        assert split in dataset.splits, f"preset {preset!r} leads to the unknown split {split!r}"


def knows_its_classes(dataset: Dataset) -> None:
    """Every split lists the same classes with unique names, a text each, and the roles that two stages need."""
    for split in dataset.splits:
        classes = dataset.classes(split)
        names = [info.name for info in classes]
        assert len(set(names)) == len(names), f"split {split!r} lists a class twice"
        assert all(info.text_name.strip() for info in classes), f"split {split!r} has a class without a text name"
        roles = {info.role for info in classes}
        assert roles <= set(get_args(Role)), f"split {split!r} has roles {roles}; choose from {get_args(Role)}"
        needed = {"train", "validation_unseen", "test_unseen"}
        assert needed <= roles, f"split {split!r} has no class of role {needed - roles}"
        assert names == [info.name for info in dataset.classes(dataset.splits[0])], f"split {split!r} numbers classes otherwise"


def opens_or_names_the_command(dataset: Dataset) -> None:
    """Features that are not in the store are one line that says what to type."""
    with TemporaryDirectory() as empty:
        refusals = [_refusal(dataset, Path(empty), *variant) for variant in _variants(dataset)]
    for refusal in filter(None, refusals):
        assert "\n" not in refusal, f"the error of missing features has several lines: {refusal}"
        assert "avgzsl " in refusal, f"the error of missing features names no command: {refusal}"


def _variants(dataset: Dataset) -> Iterator[tuple[str, str, bool]]:
    """(features, split, temporal) of every preset, temporal where token periods are declared."""
    for features, split in dataset.presets.values():
        yield features, split, False
        if features in dataset.features and dataset.features[features].seconds:
            yield features, split, True


def _refusal(dataset: Dataset, store: Path, features: str, split: str, temporal: bool) -> str:
    try:
        dataset.open(store, features, split, temporal)
    except AvgzslError as error:
        return str(error)
    return ""


def has_disjoint_and_complete_subsets(dataset: Dataset) -> None:
    """No clip stands in two subsets, and every class has clips in the subsets of its role; temporal or not, it says which."""
    for features, split, temporal in _stored(dataset):
        splits = dataset.open(files.data_root(), features, split, temporal)
        assert splits.temporal is temporal, f"{features} {split}: asked for temporal={temporal}, got {splits.temporal}"
        ids: list[str] = []
        for subset in SUBSETS:
            ids += _check_subset(splits, subset)
        assert len(set(ids)) == len(ids), f"{features} {split}: {len(ids) - len(set(ids))} clips stand twice"


def tells_source_videos(dataset: Dataset) -> None:
    """Each clip has one source video, named by a text."""
    for features, split, temporal in _stored(dataset):
        splits = dataset.open(files.data_root(), features, split, temporal)
        clips = [clip for subset in SUBSETS for clip in splits.read(subset).ids]
        videos = [dataset.source_video(clip) for clip in clips]
        odd = [clip for clip, video in zip(clips, videos, strict=True) if not isinstance(video, str) or not video]
        assert not odd, f"{features} {split}: the source video of clip {odd[0]!r} is no name"
        changed = [clip for clip, video in zip(clips, videos, strict=True) if dataset.source_video(clip) != video]
        assert not changed, f"{features} {split}: asked twice, clip {changed[0]!r} has two source videos"


def _check_subset(splits: Splits, subset: str) -> tuple[str, ...]:
    clips = splits.read(subset)
    for part, width in (("audio", splits.features.audio), ("video", splits.features.video)):
        _check_modality(getattr(clips, part), f"{subset}: {part}", splits.temporal, (len(clips.ids), width))
    present = {splits.classes[i] for i in np.unique(clips.label)}
    wanted = _classes_of(splits, subset)
    assert present <= wanted, f"{subset} holds clips of {_names(present - wanted)}, which have another role"
    lacking = set() if splits.partial or subset == "validation_seen" else wanted - present
    assert not lacking, f"{subset} has no clips of {_names(lacking)}"
    return clips.ids


def _check_modality(found: object, what: str, temporal: bool, wanted: tuple[int, int]) -> None:
    assert isinstance(found, Tokens if temporal else np.ndarray), f"{what} is a {type(found).__name__}, temporal is {temporal}"
    if isinstance(found, Tokens):
        assert (len(found), found.dim) == wanted, f"{what} has {len(found)} clips of width {found.dim}, not {wanted}"
        assert found.length.min() > 0, f"{what} has a clip without tokens"
    elif isinstance(found, np.ndarray):
        assert found.shape == wanted, f"{what} has shape {found.shape}, not {wanted}"


def _classes_of(splits: Splits, subset: str) -> set[ClassInfo]:
    return {info for info in splits.classes if info.role in ROLES_OF[subset]}


def _names(classes: set[ClassInfo]) -> str:
    return ", ".join(sorted(info.name for info in classes)[:5])


def _stored(dataset: Dataset) -> list[tuple[str, str, bool]]:
    refusals = {variant: _refusal(dataset, files.data_root(), *variant) for variant in _variants(dataset)}
    found = [variant for variant, refusal in refusals.items() if not refusal]
    if not found:
        raise Skip(next(iter(refusals.values())))
    return found


QUESTIONS: tuple[Callable[[Dataset], None], ...] = (
    says_where_it_comes_from,
    declares_features_and_splits,
    knows_its_classes,
    opens_or_names_the_command,
    has_disjoint_and_complete_subsets,
    tells_source_videos,
)

"""What a picture is of: settings that may stand in one picture, their names, and the decisions behind their numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import records
from avgzsl_bench.board import lookup
from avgzsl_bench.board.measured import Group, Record, short
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.metrics import Decisions
from avgzsl_bench.plots import _paper

KEY = ("rules", "dataset", "features", "split", "synthetic")
"""What settings in one picture share. Their class text, form and settings may differ: the picture names them."""


class Decided(NamedTuple):
    """The decisions of one run, with what its record says of the classes."""

    decisions: Decisions
    seen: NDArray[np.int64]  # ascending class ids
    unseen: NDArray[np.int64]
    names: dict[int, str]  # of every class of the split


def together(groups: Sequence[Group]) -> None:
    """Raises AvgzslError for settings that were not measured under the same rules on the same test clips."""
    first = groups[0]
    for group in groups[1:]:
        if any(group.identity[key] != first.identity[key] for key in KEY):
            raise AvgzslError(f"{about(first)} and {about(group)} do not go into one picture; draw one for each")
    scored = {_clips(record): record["run_id"] for group in groups for record in group.records}
    if len(scored) > 1:
        one, other, *_ = scored.values()
        raise AvgzslError(f"runs {one} and {other} were scored on other test clips; draw one picture for each")


def _clips(record: Record) -> tuple[tuple[str, int], ...]:
    """The classes that a run was scored on, with their numbers of clips."""
    table = record["per_class"]
    if not table.get("name") or not table.get("clips"):
        raise AvgzslError(
            f"the record of run {record['run_id']} counts no classes, from which this picture is made; take another"
        )
    return tuple(zip(table["name"], table["clips"], strict=True))


def about(group: Group, who: str = "") -> str:
    """What the numbers were measured on; synthetic data are called so in every picture, and rules that are not the usual ones."""
    own = group.identity
    marks = ["synthetic data"] * bool(own["synthetic"]) + [f"{own['rules']} rules"] * (own["rules"] != "corrected")
    return _paper.PART.join([*[who] * bool(who), own["dataset"], own["features"], own["split"], *marks])


def labels(groups: Sequence[Group]) -> list[str]:
    """A name for each setting: its method, and whatever else tells it from the others."""
    made = [" ".join([*_marks(group), *_texts(group, groups), *_differences(group, groups)]) for group in groups]
    twice = [made.count(name) > 1 for name in made]
    ids = [group.records[0]["setting_id"][:6] for group in groups]
    return [f"{name} {own}" if again else name for name, own, again in zip(made, ids, twice, strict=True)]


def _marks(group: Group) -> list[str]:
    form, source = group.identity["form"], group.records[0]["source"]
    marks = [form] * (form == "reference") + [source] * (source != "measured")
    return [group.identity["method"], *(f"({mark})" for mark in marks)]


def _texts(group: Group, groups: Sequence[Group]) -> list[str]:
    varying = [key for key in ("encoder", "text") if len({other.identity[key] for other in groups}) > 1]
    return [group.identity[key] for key in varying]


def _differences(group: Group, groups: Sequence[Group]) -> list[str]:
    """Settings in which it differs from those of the same method and class text."""
    facts, same = group.facts, [*_marks(group), *_texts(group, groups)]
    others = [other.facts for other in groups if [*_marks(other), *_texts(other, groups)] == same]
    return [f"{key}={short(value)}" for key, value in sorted(facts.items()) if any(other.get(key) != value for other in others)]


def decided(record: Record) -> Decided:
    """The decisions of a run. Raises AvgzslError for a record that has none."""
    found = records.decisions(record)
    if found is None:
        raise AvgzslError(f"the record of run {record['run_id']} has no decisions, from which this picture is made; take another")
    ids = np.unique(found.label)  # every class of the split has clips
    unseen = np.array(record["per_class"]["unseen"], bool)
    names = dict(zip(ids.tolist(), record["per_class"]["name"], strict=True))
    return Decided(found, ids[~unseen].astype(np.int64), ids[unseen].astype(np.int64), names)


def seeds(group: Group) -> str:
    """`, 3 seeds`, or nothing for a single run."""
    return f", {len(group.records)} seeds" if len(group.records) > 1 else ""


def folder(record: Record) -> Path:
    """The folder of a run. Raises AvgzslError for a record that was read from no file."""
    path = getattr(record, "path", None)
    if path is None:
        raise AvgzslError(f"the record of run {record['run_id']} lies in no folder; give the path of the run")
    return Path(path.parent)


def one_run(groups: Sequence[Group], needs: str) -> Record:
    """The run that is drawn: of several seeds the first whose folder has the file that is needed, or else the first.

    Raises AvgzslError for runs of several settings.
    """
    if len(groups) > 1:
        raise AvgzslError(
            f"one run has a picture of its own, and these are of several settings: {lookup.listed(groups)}; name one"
        )
    runs = groups[0].records
    return next((record for record in runs if (folder(record) / needs).is_file()), runs[0])

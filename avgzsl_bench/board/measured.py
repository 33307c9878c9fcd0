"""Records into rows: complete runs, each counted once, pooled over the seeds of one setting."""

import copy
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from avgzsl_bench import config, plugins, precision, published
from avgzsl_bench.board import audit
from avgzsl_bench.board.cells import METRICS, Row, pooled
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text.sources import NAMES

Record = dict[str, Any]
SHOWN = {
    "rules",
    "dataset",
    "features",
    "split",
    "method",
    "known_from",
    "form",
    "encoder",
    "text",
    "seed",
    "synthetic",
    "text_normalise",
    "combine",
    "given_seen_bias",
}
"""Identity that a row or its section shows anyway, or that stands among the settings too."""


ELSEWHERE = {
    "external weights": "Weights trained elsewhere and evaluated here with the class-text order of the code that trained them.",
    "own weights": "Weights that `avgzsl run` left, scored again.",
    "external scores": "Scores computed elsewhere; only judged here.",
}
"""What is said of a record whose source is not a run of ours."""


NEEDED = ("rules", "dataset", "features", "split", "synthetic", "method", "form", "encoder", "text", "seed")
"""Identity without which a record has no row."""


class Place(NamedTuple):
    """The key of a section, within which alone rows are ranked.

    Synthetic data never share a section with real ones, nor with published numbers. `content` tells apart what has one name
    and several hashes or versions; empty where it has one.
    """

    rules: str
    dataset: str
    features: str
    split: str
    text: str  # the text vectors: `clip of names@1`
    form: str
    synthetic: bool = False
    content: tuple[str, ...] = ()


def text_label(identity: Mapping[str, Any]) -> str:
    """`clip (model=ViT-L-14) of names@1`: what turned which texts into the vectors that the rows of a section share."""
    if identity["encoder"] == identity["text"]:
        return "class text not known"  # of scores that were computed elsewhere
    settings = flat(identity.get("encoder_settings") or {})
    unusual = ", ".join(f"{key}={short(value)}" for key, value in sorted(settings.items()))
    return f"{identity['encoder']}{f' ({unusual})' if unusual else ''} of {identity['text']}"


def alike(printed: str, label: str) -> bool:
    """Whether a printed number's text and a record's are one: names are names, with the same prompts, and a paper's descriptions
    are like every whole pack, since all say the same kind of thing.
    """
    source, _, prompts = label.partition("/")
    own, _, own_prompts = printed.partition("/")
    return ":" not in label and prompts == own_prompts and (source.partition("@")[0] == NAMES) == (own == NAMES)


@dataclass(frozen=True)
class Group:
    """The runs of one setting, which differ in the seed only."""

    records: tuple[Record, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What all of them share (and the first one's seed)."""
        identity: dict[str, Any] = self.records[0]["identity"]
        return identity

    @property
    def place(self) -> Place:
        """The section they belong to, as far as names tell."""
        own = self.identity
        named = {key: own[key] for key in ("rules", "dataset", "features", "split", "form", "synthetic")}
        return Place(**named, text=text_label(own))

    @property
    def content(self) -> dict[str, Any]:
        """What must be the same for rows of one section to be compared; sequences and their averages are the same clips."""
        keys = ("protocol_version", "dataset_revision", "encoder_revision", "text_sha256")
        temporal = self.identity.get("temporal")
        return {key: self.identity.get(key) for key in keys} | {
            "features_sha256": None if temporal else self.identity.get("features_sha256"),
            "temporal_sha256": self.identity.get("features_sha256") if temporal else None,
        }

    @property
    def facts(self) -> dict[str, Any]:
        """Everything that can tell this setting from another, flat."""
        identity = {key: value for key, value in self.identity.items() if key not in SHOWN and key != "encoder_settings"}
        known = {key: value for key, value in flat(identity).items() if value is not None}
        return {**self.settings, **known, "selection": self.records[0]["selection"]["split"]}

    @property
    def settings(self) -> dict[str, Any]:
        """The method's and the encoder's settings, flat; a searched one is its grid, since seeds may choose differently."""
        search = self.records[0]["selection"].get("search") or {"grid": []}
        grid = [flat(point) for point in search["grid"]]
        tried = {key: " | ".join(dict.fromkeys(short(point.get(key)) for point in grid)) for point in grid for key in point}
        encoder = flat({"encoder": self.identity.get("encoder_settings") or {}})
        return {**flat(self.records[0]["settings"]), **tried, **encoder}


def usable(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """(complete records, one a run; sentences about what was left out).

    Raises AvgzslError for a complete record that does not say what it is about, how it was selected, or what it measured.
    """
    complete = [record for record in records if record["status"] == "complete"]
    for record in complete:
        if missing := _lacking(record):
            raise AvgzslError(f"record {record['run_id']} lacks {', '.join(missing)}; restore it or leave it out")
    notes = []
    if len(complete) < len(records):
        notes.append(f"{len(records) - len(complete)} of {len(records)} records are left out: they are not complete runs.")
    found: dict[str, Record] = {}
    for record in sorted(complete, key=lambda record: (str(record.get("created", "")), json.dumps(record, sort_keys=True))):
        first = found.setdefault(record["run_id"], record)
        if differing := [key for key in ("identity", "settings", "selection", "metrics") if first[key] != record[key]]:
            said = "two results" if "metrics" in differing else f"two forms of its {' and '.join(differing)}"
            notes.append(f"Run {record['run_id']} was found with {said}; the earlier one counts.")
    return list(found.values()), notes


def _lacking(record: Record) -> list[str]:
    """What a row needs and this record has not, or has not in the form that a run writes."""
    if sections := [key for key in ("identity", "settings", "selection", "metrics") if not isinstance(record.get(key), dict)]:
        return sections
    selection, metrics = record["selection"], record["metrics"]
    found = [f"identity {key}" for key in NEEDED if key not in record["identity"]]
    found += ["selection split"] * ("split" not in selection)
    search = selection.get("search")
    whole = not search or (isinstance(search, dict) and isinstance(search.get("grid"), list))
    found += ["selection search grid"] * (not whole)
    return found + [f"metrics {key}" for key in METRICS if not isinstance(metrics.get(key), int | float | None)]


def groups(records: Sequence[Record]) -> list[Group]:
    """Runs by setting; runs selected on test, or measured elsewhere, are never pooled with the others."""
    found: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        found[record["setting_id"], record["selection"]["split"], record["source"]].append(record)
    return [Group(tuple(sorted(found[key], key=_seed))) for key in sorted(found)]


def places(found: Sequence[Group]) -> dict[Place, list[Group]]:
    """Groups by section: by what they are called, and where one name has several contents, by those."""
    named: dict[Place, list[Group]] = defaultdict(list)
    for group in found:
        named[group.place].append(group)
    result: dict[Place, list[Group]] = defaultdict(list)
    for place, own in named.items():
        known = {key: {group.content[key] for group in own} - {None} for key in own[0].content}
        varying = [key for key, values in known.items() if len(values) > 1]
        for group in own:
            told = [f"{key}={short(group.content[key])}" for key in varying if group.content[key] is not None]
            result[place._replace(content=tuple(told))].append(group)
    return result


def _seed(record: Record) -> tuple[bool, int]:
    seed = record["identity"]["seed"]
    return seed is None, seed or 0  # what was trained elsewhere has none


def rows(section: Sequence[Group], events: plugins.Events) -> list[Row]:
    """The rows of one section, each naming what changed: against `avgzsl run`'s own settings, and against its siblings."""
    made = [_row(group, events) for group in section]
    siblings: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(made):
        siblings[row.name, row.encoder, row.text, row.source].append(i)
    for family in siblings.values():
        facts = [section[i].facts for i in family]
        # what one of them lacks is the setting of a loss it does not have; the loss itself is named
        varying = {key for one in facts for key in one if any(key in other and other[key] != one[key] for other in facts)}
        for i, own in zip(family, facts, strict=True):
            made[i] = replace(made[i], changed=_changed(section[i], own, varying))
    return made


def _row(group: Group, events: plugins.Events) -> Row:
    identity, first = group.identity, group.records[0]
    kind = _kind(identity["method"])
    found = [record["metrics"] for record in group.records]
    source = first["source"]
    return Row(
        method=identity["method"],
        name=_name(identity, kind),
        encoder=identity["encoder"],
        text=identity["text"],
        recipe=first.get("recipe") or "default",
        source=source,
        n=len(group.records),
        floor=bool(getattr(kind, "floor", False)),
        from_abstract=_from_abstract(identity),
        seeded=bool(getattr(kind, "seeded", True)),
        test_selected=first["selection"]["split"] == "test",
        setting_id=first["setting_id"],
        measured={metric: pooled([one.get(metric) for one in found], source) for metric in METRICS},
        unshared=pooled([_unshared(record) for record in group.records], source),
        notes=tuple(_notes(group, kind, events)),
        runs=group.records,
    )


def _unshared(record: Record) -> float | None:
    """S over the clips of videos that training has not seen, where these are not all."""
    rest, counts = record["metrics"].get("unshared"), record.get("per_class") or {}
    seen = sum(clips for clips, unseen in zip(counts.get("clips", ()), counts.get("unseen", ()), strict=True) if not unseen)
    return rest["seen"] if rest and rest["clips"] < seen else None


def _name(identity: dict[str, Any], kind: Any) -> str:
    marks = {
        "floor": getattr(kind, "floor", False),
        "reference": identity["form"] == "reference",
        "from the abstract": _from_abstract(identity),
    }
    words = ", ".join(word for word, fits in marks.items() if fits)
    return f"{identity['method']} ({words})" if words else str(identity["method"])


def _from_abstract(identity: dict[str, Any]) -> bool:
    """Said by the record itself, so that it holds where the method is not installed."""
    return identity.get("known_from") == "abstract"


def _notes(group: Group, kind: Any, events: plugins.Events) -> Iterator[str]:
    name = group.identity["method"]
    yield from _not_a_run(group)
    if group.records[0]["selection"]["split"] == "test":
        yield "Epoch and seen bias were chosen on the test set, as the authors' code does: shown, never ranked."
    if getattr(kind, "floor", False):
        yield "Floor: nothing is learned. It is there to be beaten and has no rank."
    elif not getattr(kind, "seeded", True):
        yield f"{name} gives the same result for every seed, so one run is enough."
    if _from_abstract(group.identity):
        yield f"{name} is a re-implementation from the abstract: it has no rank and is not compared with what its paper prints."
    if group.identity.get("temporal"):
        yield f"{name} reads clips as sequences of tokens, where methods without this note are given their averages."
    yield from _chosen_on_test(group)
    for record in group.records:
        yield from (f"Run {record['run_id']}: {fault}" for fault in audit.record_findings(record))
        yield from (f"Check of run {record['run_id']}: {fault}" for fault in _faults(record, events))


def _not_a_run(group: Group) -> Iterator[str]:
    source, selection = group.records[0]["source"], group.records[0]["selection"]
    if source in ELSEWHERE:
        yield ELSEWHERE[source]
    if selection["split"] == "declared":
        yield f"The seen bias was given ({selection.get('seen_bias')}), not chosen on validation."


def _chosen_on_test(group: Group) -> Iterator[str]:
    recipe, settings = _recipe(group), group.records[0]["settings"]
    chosen = recipe.chosen_on_test if recipe else ()
    if recipe and (kept := [key for key in chosen if settings.get(key) == recipe.settings.get(key)]):
        where = f"{group.identity['method']} on {group.identity['dataset']}"
        what = "its value" if len(kept) == 1 else "their values"
        yield f"{recipe.key} chose {', '.join(kept)} of {where} by test numbers, and the recipe keeps {what}."


def _faults(record: Record, events: plugins.Events) -> list[str]:
    """What plugins say is wrong with a record (hook `check_record`), each on one line."""
    answers = events.emit("check_record", record=copy.deepcopy(record))
    said = [fault for answer in answers for fault in (answer if isinstance(answer, list | tuple) else [answer])]
    return [" ".join(str(fault).split()) for fault in said]


def _kind(method: str) -> Any:
    try:
        return plugins.load("methods", method)
    except AvgzslError:  # a plugin's method on a machine without the plugin: its row still stands
        return None


def _recipe(group: Group) -> published.Recipe | None:
    identity = group.identity
    try:
        return published.recipe_for(*(identity.get(key, "") for key in ("method", "dataset", "features", "split", "form")))
    except AvgzslError:
        return None


def _changed(group: Group, facts: dict[str, Any], varying: set[str]) -> tuple[str, ...]:
    own = usual(group)
    settings = {key: value for key, value in group.settings.items() if not key.startswith("encoder.")}  # the section says those
    unusual = {key for key, value in settings.items() if own is not None and own.get(key) != value}
    unusual |= {"precision"} if facts.get("precision", precision.USUAL) != precision.USUAL else set()
    return tuple(f"{key}={short(facts.get(key))}" for key in sorted(unusual | varying) if key in facts)


def usual(group: Group) -> dict[str, Any] | None:
    """The settings of `avgzsl run` without --set, flat; None where this machine cannot tell."""
    identity = group.identity
    form = {"form": identity["form"]} if "form" in group.records[0]["settings"] else {}
    choice = {key: identity[key] for key in ("method", "dataset", "features", "split", "rules")}
    try:
        return flat(config.resolve(**choice, settings=form)[0].settings)
    except AvgzslError:
        return None


def flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested dicts as one, keys joined by dots; the name of a chosen loss stands under the key itself."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        path = above if key == "name" and above else f"{above}.{key}".strip(".")
        result.update(flat(value, path) if isinstance(value, dict) else {path: value})
    return result


def short(value: Any) -> str:
    """A setting as it is shown: hashes by their first digits."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:8] if len(text) >= 40 and set(text) <= set("0123456789abcdef") else text

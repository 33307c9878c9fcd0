"""What a record says against what is known without it: its method, its data set, its decisions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from avgzsl_bench import calibration, config, datasets, metrics, plugins, records
from avgzsl_bench.clips import ClassInfo, Dataset
from avgzsl_bench.contracts import Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import data_root
from avgzsl_bench.metrics import Decisions, Ids

MEASURED, AUTHORS, OURS, SCORES = "measured", "external weights", "own weights", "external scores"
TOLERANCE = records.TOLERANCE


def how_it_was_made(record: Mapping[str, Any]) -> Iterator[str]:
    """Faults of status, source, selection, search and code."""
    if record["status"] != "complete":
        yield f"status is {record['status']!r}, not complete: import the data whole, and run again"
    if record["source"] == OURS:
        yield f"source is {OURS!r}: submit the record of the run that left them, whose numbers these are"
    elif record["source"] not in (MEASURED, AUTHORS, SCORES):
        yield f"source is {record['source']!r}; a leaderboard takes {MEASURED}, {AUTHORS} and {SCORES}"
    yield from _selection(record)
    code = record["environment"]["code"]
    if code["commit"] is None:
        yield "environment.code.commit is not known: run from a checkout of the repository, so that others find the code"
    elif code["dirty"] is not False:
        yield "environment.code.dirty is not false: the code stands in no commit; commit it, and run again"


def _selection(record: Mapping[str, Any]) -> Iterator[str]:
    identity, selection = record["identity"], record["selection"]
    if identity["selection"] != selection["split"]:
        yield f"selection.split is {selection['split']!r}, and identity.selection {identity['selection']!r}; run again"
    if selection["split"] == "declared" and record["source"] == MEASURED:
        yield "selection.split is 'declared', and a run selects on validation; run again"
    if selection["split"] == "test" and identity["rules"] != "reference":
        yield "selection.split is 'test', which only reference rules know; run again"
    search = selection["search"]
    if not search:
        return
    best = max(search["values"], default=None)
    if len(search["values"]) != len(search["grid"]) or search["winner"] != search["grid"][search["values"].index(best)]:
        yield "selection.search: its winner is not the candidate with the best value; run again"
    elif best != selection["value"]:
        yield f"selection.value is {selection['value']}, and the best value of its search {best}; run again"


def method(record: Mapping[str, Any]) -> Iterator[str]:
    """Faults of the method, its settings and the names that are hashes of them."""
    identity = record["identity"]
    name, known = identity["method"], plugins.names("methods")
    if record["source"] == SCORES:
        if name in known:
            yield f"method {name!r} is one of the harness, and these scores are of another system; give that its own --name"
        yield from _hashes(record, {} if record["settings"] == {} else None)
        return
    if name not in known:
        maker = (identity.get("distributions") or {}).get(name, "its plugin")
        yield f"method {name!r} is not installed here, so run_id cannot be computed again; `pip install` {maker}, and check again"
        return
    try:
        kind: type[Method] = plugins.load("methods", name)
        yield from _versions(identity, kind)
        complete = config.settings_of(name, kind, record["settings"])
        if not _says(complete.model_dump(), record["settings"]):
            yield "settings are not as a run writes them: of another type, or out of range; restore them"
        yield from _chosen_twice(identity, record["settings"], kind)
        yield from _hashes(record, config.differing(kind, complete))
    except AvgzslError as error:
        yield f"settings: {error}"


def _says(whole: Any, part: Any) -> bool:
    """Whether settings say what they are read as; a record need not state those that came after it."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and _says(whole[key], value) for key, value in part.items())
    return type(whole) is type(part) and bool(whole == part)


def _versions(identity: Mapping[str, Any], kind: type[Method]) -> Iterator[str]:
    said = identity.get("method_version")
    if said != kind.version:
        yield f"method_version is {said}, and {identity['method']} is at {kind.version} here, with other results; run again"
    for name, version in identity.get("loss_versions", {}).items():
        own = plugins.load("losses", name).version
        if own != version:
            yield f"loss {name} was at version {version}, and is at {own} here; run again"


def _chosen_twice(identity: Mapping[str, Any], settings: Mapping[str, Any], kind: type[Method]) -> Iterator[str]:
    """What identity repeats of the settings and of the method."""
    repeated = {
        "form": settings.get("form", "paper"),
        "text_normalise": settings.get("text_normalise"),
        "combine": settings.get("combine"),
        "temporal": "temporal" in kind.needs,
        "known_from": None if kind.known_from == "paper" else kind.known_from,
    }
    for key, value in repeated.items():
        if identity.get(key) != value:
            yield f"identity.{key} is {identity.get(key)!r}, and the method and its settings say {value!r}; run again"
    if not kind.seeded and identity["seed"]:
        yield f"seed is {identity['seed']}, and {identity['method']} gives every seed the same result: only seed 0 counts"


def _hashes(record: Mapping[str, Any], changed: Mapping[str, Any] | None) -> Iterator[str]:
    if changed is None:
        yield "settings are those of a method, and scores of another system have none here; make the record again"
        return
    grid = (record["selection"]["search"] or {"grid": []})["grid"]
    searched = grid[0] if grid else {}  # their base values decide nothing
    kept = {key: value for key, value in changed.items() if key not in searched}
    for key, value in zip(("run_id", "setting_id"), records.ids(record["identity"], kept, grid), strict=True):
        if record[key] != value:
            yield f"{key} {record[key]} is not the hash of its identity and settings, {value}; they were changed after the run"


def data(record: Mapping[str, Any]) -> Iterator[str]:
    """Faults of the data set, its classes and clip counts, as published."""
    identity = record["identity"]
    name = identity["dataset"]
    if name not in plugins.names("datasets"):
        yield f"data set {name!r} is not known here; `pip install` its plugin (a table of one's own becomes one by a plugin)"
        return
    known = datasets.get(name)
    if known.revision != identity["dataset_revision"]:
        yield f"dataset_revision is {identity['dataset_revision']}, and {name} is at {known.revision} here; run again"
    for what, given, choices in (("features", identity["features"], known.features), ("split", identity["split"], known.splits)):
        if given not in choices:
            yield f"{what} {given!r} are none of {name}: {', '.join(choices)}"
            return
    yield from _classes(record["per_class"], known, identity["split"])
    yield from _synthetic(identity)


def scored(identity: Mapping[str, Any]) -> list[tuple[int, ClassInfo]]:
    """The classes of the test set by ascending id, as known here; none where the data set or split is not."""
    if identity["dataset"] not in plugins.names("datasets"):
        return []
    known = datasets.get(identity["dataset"])
    classes = known.classes(identity["split"]) if identity["split"] in known.splits else ()
    return [(i, info) for i, info in enumerate(classes) if info.role != "unused"]


def _classes(per_class: Mapping[str, Any], known: Dataset, split: str) -> Iterator[str]:
    wanted = scored({"dataset": known.name, "split": split})
    if per_class["name"] != [info.name for _, info in wanted]:
        yield f"per_class.name are not the {len(wanted)} test classes of {known.name}, split {split}; restore it"
        return
    if per_class["unseen"] != [info.role == "test_unseen" for _, info in wanted]:
        yield f"per_class.unseen are not the roles of the classes in {known.name}, split {split}; restore it"
    published = _published_clips(known, split)
    for (i, info), clips in zip(wanted, per_class["clips"], strict=True):
        if published.get(i, clips) != clips:
            yield f"per_class.clips of {info.name} is {clips}, and {published[i]} are published; import the data again, whole"


def _published_clips(known: Dataset, split: str) -> dict[int, int]:
    """Test clips of each class by id, where they are published."""
    built_in = plugins.find("datasets", known.name).distribution == plugins.BUILT_IN
    layout = getattr(known, "layout", None) if built_in else None
    counts = layout(next(iter(known.presets)), split).counts if layout else {}
    return {i: clips for subset in ("test_seen", "test_unseen") for i, clips in counts.get(subset, {}).items()}


def _synthetic(identity: Mapping[str, Any]) -> Iterator[str]:
    """Data made on the fly are the same everywhere: they say that they are synthetic, and nothing else has their hash."""
    for name in plugins.names("datasets"):
        if plugins.find("datasets", name).distribution != plugins.BUILT_IN and name != identity["dataset"]:
            continue
        known: Dataset = datasets.get(name)
        if not known.synthetic:
            continue
        found = {_made(known, features, split, timed) for features, split, timed in _forms(known)}
        if name == identity["dataset"] and not identity["synthetic"]:
            yield f"synthetic is false, and {name} is made up; restore it"
        if name == identity["dataset"] and identity["features_sha256"] not in found:
            yield f"features_sha256 is none of those of {name} here; update the code, and run again"
        elif name != identity["dataset"] and identity["features_sha256"] in found:
            yield f"features_sha256 is that of {name}, which is synthetic, and not of {identity['dataset']}; restore it"


def _forms(known: Dataset) -> Iterator[tuple[str, str, bool]]:
    for features, split in dict.fromkeys(known.presets.values()):
        yield from ((features, split, timed) for timed in (False, True)[: 1 + bool(known.features[features].seconds)])


def _made(known: Dataset, features: str, split: str, temporal: bool) -> str:
    more = {"temporal": True} if temporal else {}
    return known.open(data_root(), features, split, **more).content_sha256


def roles(record: Mapping[str, Any], found: Decisions) -> tuple[Ids, Ids]:
    """The seen and the unseen class ids that the decisions are about. Raises AvgzslError where these are not the split's."""
    labels = np.unique(found.label)  # every class of the split has clips
    ids = [i for i, _ in scored(record["identity"])] or labels.tolist()
    flags = np.array(record["per_class"]["unseen"])
    if labels.tolist() != ids or len(flags) != len(ids):
        raise AvgzslError("the decisions are not about the test classes of this data set and split; run again")
    seen, unseen = labels[~flags], labels[flags]
    if not (np.isin(found.seen_class, seen).all() and np.isin(found.unseen_class, unseen).all()):
        raise AvgzslError("the decisions take an unseen class for a seen one, or the other way round; run again")
    if not (np.isfinite(found.seen_score).all() and np.isfinite(found.unseen_score).all()):
        raise AvgzslError("the decisions hold scores that are not finite; run again")
    return seen, unseen


def decided(record: Mapping[str, Any], found: Decisions, seen: Ids, unseen: Ids) -> Iterator[str]:
    """Every number and count that does not follow from the decisions."""
    yield from _counts(record, found, seen, unseen)
    bias, rules, curve = record["selection"]["seen_bias"], record["identity"]["rules"], calibration.sweep(found, seen, unseen)
    unshared = metrics.unshared(found, bias, seen, rules)
    follows: dict[str, Any] = {
        **metrics.at_bias(found, bias, seen, unseen, rules)._asdict(),
        "zero_shot": metrics.zero_shot(found, unseen),
        "ausuc": calibration.ausuc(curve),
        "at_bias_0": metrics.at_bias(found, 0.0, seen, unseen, rules)._asdict(),
        "oracle_harmonic_mean": calibration.oracle(curve),
        "score_scale": {"stage_2": calibration.score_scale(found)},
        "unshared": unshared._asdict() if unshared else None,
    }
    for key, value in follows.items():
        said = record["metrics"].get(key)
        for name, one in value.items() if isinstance(value, dict) else [("", value)]:
            given = said.get(name) if name and isinstance(said, dict) else said
            if not _alike(given, one):
                where = f"{key}.{name}" if name else key
                yield f"metrics.{where} {given} does not follow from the decisions, which give {one}; restore it"


def _alike(said: Any, follows: float | None) -> bool:
    if said is None or follows is None:
        return said is follows
    return isinstance(said, int | float) and abs(said - follows) <= TOLERANCE * max(1.0, abs(follows))


def _counts(record: Mapping[str, Any], found: Decisions, seen: Ids, unseen: Ids) -> Iterator[str]:
    bias, said = record["selection"]["seen_bias"], record["per_class"]
    counts = metrics.per_class(found, bias, seen, unseen, record["identity"]["rules"])
    for key in ("clips", "correct", "correct_zero_shot"):
        column = getattr(counts, key)
        wrong = np.flatnonzero(column != np.array(said[key]))
        if len(wrong):
            where, first = said["name"][wrong[0]], wrong[0]
            yield f"per_class.{key} of {where} is {said[key][first]}, and the decisions give {column[first]}; restore it"


def hooks(record: Mapping[str, Any], events: plugins.Events) -> Iterator[str]:
    """What plugins say is wrong with a record (hook `check_record`)."""
    answers = events.emit("check_record", record=json.loads(json.dumps(record)))
    for answer in answers:
        for fault in answer if isinstance(answer, Sequence) and not isinstance(answer, str) else [answer]:
            yield " ".join(str(fault).split())

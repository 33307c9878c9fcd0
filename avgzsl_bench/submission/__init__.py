"""Whether records are fit to enter a leaderboard, and entering them, whole or not at all."""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avgzsl_bench import plugins, records
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import whole_folder
from avgzsl_bench.submission import _facts, _reading

KEPT = tuple(_reading.LARGEST)  # all that enters of a run's folder
RECORDS = Path("leaderboards", "records")


@dataclass(frozen=True)
class Verdict:
    """What was found about one record. It is fit without faults; `remarks` say where it will stand, and how marked."""

    path: Path
    record: dict[str, Any] | None = None  # None where it could not be read
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    whole: bool = False  # whether its shape is that of a record, so that all was looked at

    @property
    def fit(self) -> bool:
        """Whether it may enter."""
        return not self.faults

    @property
    def run_id(self) -> str | None:
        """Of the record, as far as it is known."""
        return self.record.get("run_id") if self.record else None


def check(paths: Iterable[Path], to: Path = RECORDS) -> list[Verdict]:
    """Every record at or under some paths, judged by itself and beside the others and those in `to`.

    Raises AvgzslError for a path that is not there or has no record.
    """
    found = {_place(path): path for given in paths for path in _listed(given)}
    events = plugins.Events()
    judged = [_judged(path, events) for path in found.values()]
    there = [path for path in (records.find(to) if to.is_dir() else []) if _place(path) not in found]
    company = _Company([*((path, _loaded(path)) for path in there), *((one.path, one.record) for one in judged if one.whole)])
    return [_beside(one, company, to) if one.whole else one for one in judged]


def add(verdicts: Iterable[Verdict], to: Path = RECORDS) -> list[Path]:
    """Copy fit records with their decisions, and nothing else, into folders of `to`; returns those that were not there yet.

    Raises AvgzslError, with nothing copied, where one is not fit, or where its folder is taken.
    """
    given = list(verdicts)
    if unfit := [one.path for one in given if not one.fit]:
        raise AvgzslError(f"{unfit[0]} is not fit to enter; `avgzsl submit check` lists its faults")
    sources = {records.place(to, one.record["identity"], one.record["run_id"]): one.path for one in given if one.record}
    new = {place: path for place, path in sources.items() if not (place / "record.json").is_file()}
    if taken := [place for place in new if place.exists() or place.is_symlink()]:
        raise AvgzslError(f"{taken[0]} is there without a record; remove it, or wait for the run that makes it")
    for place, path in new.items():
        with whole_folder(place) as folder:
            for name in KEPT:
                shutil.copyfile(path.with_name(name), folder / name)
            records.read(folder / "record.json")  # what was copied is what was checked, or it does not enter
    return list(new)


def _place(path: Path) -> Path:
    """One name for one file, which may be a link."""
    return path.parent.resolve() / path.name


def _listed(given: Path) -> list[Path]:
    found = records.find(given)
    if [path for path in found if path.name != "record.json"]:
        raise AvgzslError(f"{given} is not called record.json, as every record is; give that, or its folder")
    if not found:
        raise AvgzslError(f"no record.json in {given}; `avgzsl run` writes them, by default under ./runs")
    return found


def _loaded(path: Path) -> dict[str, Any] | None:
    """A record that is there already; if it cannot be read, that is not the fault of those that come."""
    try:
        record = _reading.load(path)
    except AvgzslError:
        return None
    return None if _reading.misshapen(record) else record


def _judged(path: Path, events: plugins.Events) -> Verdict:
    try:
        record = _reading.load(path)
    except AvgzslError as error:
        return Verdict(path, faults=(str(error),))
    if misshapen := _reading.misshapen(record):
        return Verdict(path, record, (*misshapen, "the rest was not looked at; restore it, or run again"))
    parts = (_reading.strange_words(record), _facts.how_it_was_made(record), _facts.method(record), _facts.data(record))
    faults = [fault for part in (*parts, _of_decisions(path, record), _facts.hooks(record, events)) for fault in part]
    return Verdict(path, record, tuple(faults), tuple(_marks(record)), whole=True)


def _of_decisions(path: Path, record: dict[str, Any]) -> Iterator[str]:
    """Every number that does not follow from the decisions, where `records.read` would stop at the first."""
    own = records.Record(record)
    own.path = path
    try:
        _reading.check_file(path.with_name(record["decisions"]["path"]))
        found = records.decisions(own)
        assert found is not None  # a record without decisions is misshapen
        faults = list(_facts.decided(record, found, *_facts.roles(record, found)))
        yield from faults
        if not faults:
            records.read(path)
    except AvgzslError as error:
        yield str(error)


def _marks(record: dict[str, Any]) -> Iterator[str]:
    """Where a record will stand, and why it would have no rank there."""
    identity, split = record["identity"], record["selection"]["split"]
    place = f"{identity['rules']} rules, {identity['dataset']} · {identity['features']} · {identity['split']}"
    yield f"SYNTHETIC section, {place}" if identity["synthetic"] else f"section {place}"
    if record["source"] != _facts.MEASURED:
        yield f"no rank: {record['source']}"
    elif split == "test":
        yield "no rank: selected on test"
    if split == "declared":
        yield "its seen bias was declared"
    if identity.get("known_from") == "abstract":
        yield "no rank: its method is known from an abstract only"


class _Company:
    """Records by what may stand once only, and by what must agree wherever it stands."""

    def __init__(self, found: Iterable[tuple[Path, dict[str, Any] | None]]) -> None:
        self.runs: dict[str, list[tuple[Path, dict[str, Any]]]] = defaultdict(list)
        self.data: dict[str, set[tuple[str, bool]]] = defaultdict(set)
        self.decisions: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
        for path, record in found:
            if record:
                own = record["identity"]
                self.runs[record["run_id"]].append((path, record))
                self.data[own["features_sha256"]].add((own["dataset"], own["synthetic"]))
                self.decisions[record["setting_id"], record["decisions"]["sha256"]][record["run_id"]] = path

    def faults(self, path: Path, record: dict[str, Any]) -> Iterator[str]:
        """What is wrong with a record beside the others."""
        for other, its in self.runs[record["run_id"]]:
            if other != path and its != record:
                yield f"run_id is that of {other} too, which says something else; leave one of them out"
        own = record["identity"]
        for name, synthetic in sorted(self.data[own["features_sha256"]]):
            if name != own["dataset"]:
                yield f"features_sha256 is that of {name} in other records, and here of {own['dataset']}; restore it"
            elif synthetic and not own["synthetic"]:
                yield "features_sha256 is that of synthetic data, as other records say, and synthetic is false; restore it"
        same = self.decisions[record["setting_id"], record["decisions"]["sha256"]]
        for run, other in same.items():
            if run != record["run_id"]:
                yield f"its decisions are those of {other}, another seed of this setting; run again"


def _beside(one: Verdict, company: _Company, to: Path) -> Verdict:
    assert one.record is not None
    faults, remarks = [*one.faults, *company.faults(one.path, one.record)], list(one.remarks)
    own = records.place(to, one.record["identity"], one.record["run_id"])
    if _place(one.path).parent.parent == to.resolve() and one.path.parent.name != own.name:
        faults.append(f"its folder is not called {own.name}; rename it")
    elif (own / "record.json").is_file():
        remarks.append(f"it is in {to} already")
    return replace(one, faults=tuple(faults), remarks=tuple(remarks))

"""Ablations of class text, from records that exist.

Encoders of one text have the shape of Table 5 of Chen et al. 2023, texts by one encoder that of its Figure 2.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from avgzsl_bench import datasets as data
from avgzsl_bench import plugins, published
from avgzsl_bench.board import audit, measured
from avgzsl_bench.board.cells import Cell
from avgzsl_bench.board.grids import CAPTION, KINDS, METRICS, OTHER, Ablation, Column, Grid, Kind, Line, Setting, Subject
from avgzsl_bench.board.measured import Group, Record
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.published import PublishedRow
from avgzsl_bench.text.packs import OURS
from avgzsl_bench.text.sources import JOIN, NAMES

CONTENT = {"encoder": "encoder_revision", "text": "text_sha256"}  # what stands behind the name of one
DATA = ("dataset_revision", "features_sha256")


def build(
    records: Sequence[Record],
    method: str = "kda",
    datasets: Sequence[str] = (),
    remarks: Sequence[str] = (),
    kinds: Sequence[Kind] = KINDS,
) -> Ablation:
    """The tables of a method, on all data sets or some. Records scored elsewhere or selected on test are left out, and told.

    Raises AvgzslError for an unknown method or data set, where neither records nor papers have anything, and as
    `measured.usable`.
    """
    complete, more = measured.usable([record for record in records if (record.get("identity") or {}).get("method") == method])
    groups = [group for group in measured.groups(complete) if not datasets or group.identity["dataset"] in datasets]
    honest = [group for group in groups if _honest(group)]
    told = [f"{len(groups) - len(honest)} settings are left out: scored elsewhere, or selected on test."]
    grids = tuple(grid for kind in kinds for grid in _grids(kind, honest, _printed(kind, method, datasets)))
    shown = {column.dataset for grid in grids for column in grid.columns}
    for name in datasets:
        if name not in shown:
            data.get(name)
    if not grids:
        plugins.find("methods", method)
        where = f"{method} on {', '.join(datasets)}" if datasets else method
        raise AvgzslError(
            f"no record of {where} here, and no paper prints such an ablation; "
            f"`avgzsl run --method {method} --dataset {datasets[0] if datasets else 'demo'} --text {OURS}` makes a record"
        )
    left_out = told * (len(honest) < len(groups))
    return Ablation("Ablation of class text", grids, caption=CAPTION, remarks=(*remarks, *more, *left_out))


def _honest(group: Group) -> bool:
    first = group.records[0]
    return (first["source"], first["selection"]["split"]) == ("measured", "validation")


def _printed(kind: Kind, method: str, datasets: Sequence[str]) -> list[PublishedRow]:
    rows = [row for row in published.rows(kind) if row.method == method]
    return [row for row in rows if not datasets or row.dataset in datasets]


# records


def _grids(kind: Kind, groups: Sequence[Group], printed: Sequence[PublishedRow]) -> Iterator[Grid]:
    families: dict[Setting, list[Group]] = defaultdict(list)
    for group in groups:
        families[_setting(group)].append(group)
    if printed and not any(map(_as_printed, families)):
        families[Setting(printed[0].method, "paper", "corrected")] = []
    for setting in sorted(families, key=lambda own: (own.rules, own.form, len(own.changed), own)):
        twins = [set(other.versions) for other in families if other._replace(versions=setting.versions) == setting]
        told = tuple(one for one in setting.versions if not all(one in other for other in twins))
        for grid in _family(kind, setting, families[setting], [] if setting.changed else printed):
            yield replace(grid, told=told)


def _as_printed(setting: Setting) -> bool:
    """Whether this is what shows printed numbers even where nothing was run."""
    return (setting.form, setting.rules, setting.changed) == ("paper", "corrected", ())


def _family(kind: Kind, setting: Setting, groups: Sequence[Group], printed: Sequence[PublishedRow]) -> Iterator[Grid]:
    """One table a text (or encoder); a line or column of one is in all of them, so that what was not run is seen."""
    parts: dict[Subject, list[Group]] = defaultdict(list)
    for group in groups:
        parts[_subject(OTHER[kind], group)].append(group)
    for subject in _wanted(kind, printed, parts) if _as_printed(setting) else ():
        parts[subject] = []
    for fixed in sorted(parts, key=_order):
        lines = _lines(kind, parts[fixed], {_subject(kind, group) for group in groups})
        columns = {column for line in lines for column in line.measured}
        columns |= {_place(group) for group in groups} - {_bare(column) for column in columns}
        beside = [row for row in printed if _belongs(kind, row, fixed)]
        lines, columns = _beside(kind, setting, lines, columns, beside)
        if kind == "text":
            lines.sort(key=lambda line: _order(line.subject))
        where = ", ".join(dict.fromkeys(row.printed_in for row in beside))
        yield Grid(kind, setting, fixed, tuple(sorted(columns)), tuple(lines), where)


def _setting(group: Group) -> Setting:
    """Everything that must agree, but for the data, the encoder and the text."""
    usual = measured.usual(group) or {}
    settings = {key: value for key, value in group.settings.items() if not key.startswith("encoder.")}
    changed = [f"{key}={measured.short(value)}" for key, value in settings.items() if usual.get(key) != value]
    encoders = [f"distributions.{name}" for name in group.identity["encoder"].split(JOIN)]
    told = {*group.settings, *DATA, *CONTENT.values(), *encoders, "selection"}
    versions = [f"{key}={value}" for key, value in group.facts.items() if key not in told]
    own = group.identity
    return Setting(own["method"], own["form"], own["rules"], tuple(sorted(changed)), tuple(sorted(versions)))


def _subject(kind: Kind, group: Group) -> Subject:
    if kind == "text":
        return (group.identity["text"],)
    settings = {key.removeprefix("encoder."): value for key, value in group.settings.items() if key.startswith("encoder.")}
    return group.identity["encoder"], *(f"{key}={measured.short(value)}" for key, value in sorted(settings.items()))


def _place(group: Group) -> Column:
    return Column(*(group.identity[key] for key in ("dataset", "features", "split", "synthetic")))


def _bare(column: Column) -> Column:
    return column._replace(content=())


def _column(kind: Kind, group: Group) -> Column:
    """Runs share a column only if they share the data, and the content of the text (or encoder) that is fixed."""
    keys = [*DATA, CONTENT[OTHER[kind]]]
    if kind == "encoder" and "/" in group.identity["text"]:
        keys.remove(CONTENT["text"])  # a prompt set holds the prompts of each encoder, of which the hash is
    return _place(group)._replace(content=tuple((key, str(group.facts.get(key))) for key in keys))


def _lines(kind: Kind, groups: Sequence[Group], subjects: set[Subject]) -> list[Line]:
    """What was measured, by name, then the other subjects."""
    events = plugins.Events()
    named: dict[Subject, list[Group]] = defaultdict(list)
    for group in groups:
        named[_subject(kind, group)].append(group)
    parted = [item for subject, own in named.items() for item in _parted(kind, subject, own).items()]
    rows = {subject: {_column(kind, group): measured.rows([group], events)[0] for group in own} for subject, own in parted}
    lines = [Line(subject, rows[subject]) for subject in sorted(rows, key=_order)]
    return lines + [Line(subject) for subject in sorted(subjects - set(named), key=_order)]


def _parted(kind: Kind, subject: Subject, groups: Sequence[Group]) -> dict[Subject, list[Group]]:
    """One line, or as many as it takes that no cell holds two settings, each naming what it has alone."""
    for key in ("", CONTENT[kind], "setting_id"):
        parts: dict[Subject, list[Group]] = defaultdict(list)
        for group in groups:
            told = {**group.facts, "setting_id": group.records[0]["setting_id"]}
            parts[(*subject, *([f"{key}={measured.short(told[key])}"] if key else []))].append(group)
        if all(len({_column(kind, group) for group in own}) == len(own) for own in parts.values()):
            break
    return parts


# printed numbers


def _belongs(kind: Kind, row: PublishedRow, fixed: Subject) -> bool:
    """Whether a printed number can stand in the table of a text (or encoder)."""
    return _of_text(row, fixed) if kind == "encoder" else fixed == (row.encoder,)


def _of_text(row: PublishedRow, text: Subject) -> bool:
    """Names beside names; a paper's descriptions beside every whole pack, since all say the same kind of thing."""
    label = text[0]
    whole = not set(":/") & set(label)
    return whole and (label.partition("@")[0] == NAMES) == (row.text == NAMES)


def _wanted(kind: Kind, printed: Sequence[PublishedRow], parts: Mapping[Subject, Any]) -> set[Subject]:
    """The tables that printed numbers need and no record has."""
    homeless = [row for row in printed if not any(_belongs(kind, row, fixed) for fixed in parts)]
    return {_our_text(row) if kind == "encoder" else (row.encoder,) for row in homeless}


def _our_text(row: PublishedRow) -> Subject:
    return (NAMES if row.text == NAMES else OURS,)


def _beside(
    kind: Kind, setting: Setting, lines: Sequence[Line], columns: set[Column], printed: Sequence[PublishedRow]
) -> tuple[list[Line], set[Column]]:
    """Lines and columns with the printed numbers, and those that only these have."""
    found, all_columns = list(lines), set(columns)
    for row in printed:
        place = Column(row.dataset, row.features, row.split)
        fitting = [i for i, line in enumerate(found) if _fits(kind, row, line)]
        if not fitting:
            found.append(_line_of(kind, setting, row))
            fitting = [len(found) - 1]
        own = [column for column in all_columns if _bare(column) == place] or [place]
        all_columns |= set(own)
        for i in fitting:
            cells = {**found[i].printed, **dict.fromkeys(own, _cells(row))}
            found[i] = replace(found[i], printed=cells)
    return found, all_columns


def _fits(kind: Kind, row: PublishedRow, line: Line) -> bool:
    if kind == "text":
        return _of_text(row, line.subject)
    return line.subject == ((row.encoder,) if row.encoder else (row.label,))


def _line_of(kind: Kind, setting: Setting, row: PublishedRow) -> Line:
    if kind == "text":
        return Line((row.text,) if setting.rules == "reference" else _our_text(row))
    return Line((row.encoder or row.label,), notes=(row.note,) if row.note else (), runs=bool(row.encoder))


def _cells(row: PublishedRow) -> Mapping[str, Cell]:
    notes = _footnotes(tuple(published.printed()))
    return {
        key: Cell(getattr(row, key), source="published", notes=tuple(notes.get((row, key), ()))) for key in METRICS["encoder"]
    }


@lru_cache(maxsize=1)
def _footnotes(rows: tuple[PublishedRow, ...]) -> Mapping[tuple[PublishedRow, str], Sequence[str]]:
    return audit.footnotes(rows)


def _order(subject: Subject) -> tuple[bool, Subject]:
    """Names before descriptions, else by the alphabet."""
    return not subject[0].startswith(NAMES), subject

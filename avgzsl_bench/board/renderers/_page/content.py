"""What the page holds of a table: an index of the keys, each key's rows, and the details of each row, as JSON.

A browser parses only what it shows: one script element a key, and one a row. Class lists and environments are shared.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from avgzsl_bench.board.cells import METRICS, SMALL_P, Cell, Row
from avgzsl_bench.board.measured import flat, short
from avgzsl_bench.board.slugs import slugs
from avgzsl_bench.board.table import RULES, Section, Table, notes_of

Json = Any
WITHIN = {None: "cannot tell", True: "within", False: "outside"}
DECIMALS = 6  # decimals of computed numbers: more than is shown, and the same on every machine
RUNS: dict[str, tuple[str, Callable[[Any], str]]] = {  # column of the table of runs: where the value stands, how it is shown
    "seed": ("identity.seed", str),
    "epoch": ("selection.epoch", str),
    "seen bias": ("selection.seen_bias", lambda value: f"{value:.4g}"),
    "validation": ("selection.value", lambda value: f"{100 * value:.2f}"),
    "chosen": ("chosen", str),
    "S": ("metrics.seen", lambda value: f"{100 * value:.2f}"),
    "U": ("metrics.unseen", lambda value: f"{100 * value:.2f}"),
    "HM": ("metrics.harmonic_mean", lambda value: f"{100 * value:.2f}"),
    "ZSL": ("metrics.zero_shot", lambda value: f"{100 * value:.2f}"),
    "AUSUC": ("metrics.ausuc", lambda value: f"{100 * value:.2f}"),
    "HM at bias 0": ("metrics.at_bias_0.harmonic_mean", lambda value: f"{100 * value:.2f}"),
    "best HM on test": ("metrics.oracle_harmonic_mean", lambda value: f"{100 * value:.2f}"),
    "S, unshared videos": ("metrics.unshared.seen", lambda value: f"{100 * value:.2f}"),
    "training": ("cost.train_seconds", lambda value: f"{value:.1f} s"),
    "evaluation": ("cost.evaluate_seconds", lambda value: f"{value:.1f} s"),
    "host memory": ("cost.peak_host_bytes", lambda value: f"{value / 1e6:,.0f} MB"),
    "device memory": ("cost.peak_device_bytes", lambda value: f"{value / 1e6:,.0f} MB"),
    "parameters": ("cost.parameters", lambda value: f"{value:,}"),
    "run": ("run_id", str),
    "made": ("created", str),
    "decisions (sha256)": ("decisions.sha256", str),
}


class _Shared:
    """Values that many rows have in common, each kept once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.values: list[Json] = []

    def place(self, value: Json) -> int:
        """Where a value stands in `values`."""
        key = json.dumps(value, sort_keys=True)
        if key not in self.places:
            self.places[key] = len(self.values)
            self.values.append(value)
        return self.places[key]


def content(table: Table) -> Iterator[tuple[str, Json]]:
    """(id of a script element, what it holds)."""
    classes, environments = _Shared(), _Shared()
    names = slugs([section.place for section in table.sections])
    yield (
        "index",
        {
            "metrics": METRICS,
            "summary": _summary(table),
            "remarks": table.remarks,
            "keys": _by_dataset([_key(section, name) for section, name in zip(table.sections, names, strict=True)]),
        },
    )
    for number, (section, name) in enumerate(zip(table.sections, names, strict=True)):
        notes = list(dict.fromkeys(note for row in section.rows for note in notes_of(row)))
        rows = [
            {**_row(row, notes), "id": own, "detail": f"row-{number}-{i}"}
            for i, (row, own) in enumerate(zip(section.rows, _ids(section.rows), strict=True))
        ]
        yield f"key-{name}", {"rows": rows, "notes": notes, "remarks": section.remarks}
        for i, row in enumerate(section.rows):
            yield f"row-{number}-{i}", _details(row, classes, environments)
    yield "shared", {"classes": classes.values, "environments": environments.values}


def _summary(table: Table) -> str:
    rows = [row for section in table.sections for row in section.rows]
    runs, settings = sum(row.n for row in rows), sum(row.n > 0 for row in rows)
    keys = sum(section.measured for section in table.sections)
    printed = sum(any(cell.mean is not None for cell in row.published.values()) for row in rows)
    synthetic = [section.place.synthetic for section in table.sections if section.measured]
    made_up = f", {'all' if all(synthetic) else sum(synthetic)} on synthetic data" if any(synthetic) else ""
    return f"{runs:,} runs of {settings:,} settings under {keys:,} keys{made_up}; {printed:,} published results beside them."


def _by_dataset(keys: list[Json]) -> list[Json]:
    """Keys of one data set together, data sets in the order in which they first stand in the table."""
    first = {key["dataset"]: i for i, key in reversed(list(enumerate(keys)))}
    return sorted(keys, key=lambda key: first[key["dataset"]])


def _key(section: Section, name: str) -> Json:
    place, rows = section.place, section.rows
    facts = {"class text": place.text, "form": place.form, "rules": place.rules, "content": ", ".join(place.content)}
    facts = {key: value for key, value in facts.items() if value and (section.measured or key == "class text")}
    encoder = next((row.encoder for row in rows if row.encoder), place.text.partition(" of ")[0])
    return {
        "id": name,
        **{key: getattr(place, key) for key in ("dataset", "features", "split", "rules", "form", "synthetic")},
        "encoder": encoder if " of " in place.text else "not stated",
        "title": " · ".join([place.dataset, place.features, place.split, *["SYNTHETIC data"] * place.synthetic]),
        "how": " · ".join([*facts.values(), *["published only"] * (not section.measured)]),
        "facts": list(facts.items()),
        "about": f"Rules {place.rules}: {RULES.get(place.rules, 'rules of another version')}." if section.measured else "",
        "measured": section.measured,
        "printed": any(cell.mean is not None for row in rows for cell in row.published.values()),
        "printed_in": section.printed_in,
        "rows": [{"name": row.name, "source": row.source} for row in rows],
    }


def _ids(rows: Sequence[Row]) -> list[str]:
    """What a link calls each row: the setting, or the printed row; of twins, all but the first have a number too."""
    names = [row.setting_id or f"{row.method} {row.name} {row.printed_in}".replace(",", " ") for row in rows]
    return [f"{name}{f' {names[:i].count(name) + 1}' * (name in names[:i])}" for i, name in enumerate(names)]


def _row(row: Row, notes: list[str]) -> Json:
    return {
        "name": row.name,
        "changed": row.changed,
        "told": row.recipe if row.n else row.printed_in,
        "source": row.source,
        "n": row.n,
        "tie": row.tie_group,
        "notes": _numbers(row.notes, notes),
        "measured": {metric: {**_cell(cell, notes), **_spread(cell, row, metric)} for metric, cell in row.measured.items()},
        "printed": {metric: _cell(cell, notes) for metric, cell in row.published.items()},
        "behind": {"difference": _round(row.versus.difference), "p": _p(row.versus.p)} if row.versus else None,
        "against": _against(row),
    }


def _spread(cell: Cell, row: Row, path: str) -> Json:
    """Half-width of the t interval, and the value of each seed, in per cent."""
    values = [flat(dict(record["metrics"])).get(path) for record in row.runs]
    return {"half": _round(cell.half_width), "seeds": [_round(100 * one) for one in values if isinstance(one, int | float)]}


def _cell(cell: Cell, notes: list[str]) -> Json:
    return {"mean": _round(cell.mean), "notes": _numbers(cell.notes, notes)}


def _numbers(own: Sequence[str], notes: list[str]) -> list[int]:
    return sorted(notes.index(note) + 1 for note in own)


def _against(row: Row) -> Json:
    """Measured minus printed, and the prediction interval, for each metric that has both."""
    return {
        metric: {"difference": _round(verdict.difference), "interval": _pair(verdict.interval), "verdict": WITHIN[verdict.within]}
        for metric, verdict in row.against.items()
    }


def _p(p: float | None) -> str:
    return "cannot tell" if p is None else f"p {p:.3f}" if p >= SMALL_P else f"p < {SMALL_P}"


# details of a row


def _details(row: Row, classes: _Shared, environments: _Shared) -> Json:
    first = row.runs[0] if row.runs else {}
    identity = {key: value for key, value in first.get("identity", {}).items() if key != "seed"}
    lists = {"Setting": first.get("settings", {}), "Identity": identity, "Selection": _selection(first)}
    columns, runs = _runs(row.runs)
    own = [environments.place(_told(record.get("environment") or {})) for record in row.runs]
    return {
        "intervals": {unit: {metric: _pair(pair) for metric, pair in found.items()} for unit, found in row.intervals.items()},
        "unshared": {"mean": _round(row.unshared.mean), **_spread(row.unshared, row, "unshared.seen")},
        "sentences": list(_sentences(row)),
        **_classes(row.runs, classes),
        "columns": columns,
        "runs": runs,
        "facts": {title: _told(values) for title, values in lists.items()},
        "environments": list(dict.fromkeys(own)),
    }


def _sentences(row: Row) -> Iterator[str]:
    """What the row changes, and how it compares with the best of its key."""
    if row.changed:
        yield f"Changed: {', '.join(row.changed)}."
    if versus := row.versus:
        named = {"over seeds (Welch)": versus.p_seeds, "over clips": versus.p_clips, "of both": versus.p_together}
        tests = ", ".join(f"{_p(p)} {name}" for name, p in named.items())
        told = f"{tests}; {_p(versus.p)} after Holm over all comparisons with the best"
        yield f"HM {versus.difference:+.2f} to the best of the key, {versus.best}: {told}.".replace("-", "−")


def _runs(records: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The columns that any run fills, and a line a run."""
    wanted = {path.partition(".")[0] for path, _ in RUNS.values()}
    lines = [{**flat({key: record.get(key) for key in sorted(wanted)}), "chosen": _chosen(record)} for record in records]
    shown = {title: [_shown(line.get(path), form) for line in lines] for title, (path, form) in RUNS.items()}
    kept = [title for title, values in shown.items() if any(values)]
    return kept, [list(line) for line in zip(*(shown[title] for title in kept), strict=True)]


def _chosen(record: Mapping[str, Any]) -> str:
    """The searched settings as this run chose them."""
    search = (record.get("selection") or {}).get("search") or {}
    return ", ".join(f"{key}={short(value)}" for key, value in flat(search.get("winner") or {}).items())


def _shown(value: Any, form: Callable[[Any], str]) -> str:
    try:
        return "" if value is None else form(value)
    except (TypeError, ValueError):  # a record may say anything
        return str(value)


def _classes(records: Sequence[Mapping[str, Any]], classes: _Shared) -> Json:
    """Correct clips of each class, added up over the runs, where all of them have the same classes."""
    counts: list[dict[str, list[Any]]] = [record.get("per_class") or {} for record in records]
    lists = [{key: one.get(key, []) for key in ("name", "unseen", "clips")} for one in counts]
    if not lists or not lists[0]["name"] or any(one != lists[0] for one in lists):
        return {"classes": None}
    first = {**lists[0], "unseen": [int(flag) for flag in lists[0]["unseen"]]}
    alone = [i for i, unseen in enumerate(first["unseen"]) if unseen]
    return {
        "classes": classes.place(first),
        "correct": [sum(column) for column in zip(*(one["correct"] for one in counts), strict=True)],
        "zero_shot": [sum(one["correct_zero_shot"][i] for one in counts) for i in alone],
    }


def _selection(record: Mapping[str, Any]) -> Json:
    """What all runs of a setting have in common."""
    own = record.get("selection") or {}
    common = {key: own.get(key) for key in ("split", "criterion")}
    return {
        **common,
        "grid": (own.get("search") or {}).get("grid"),
        "recipe": record.get("recipe"),
        "source": record.get("source"),
    }


def _told(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested values as flat pairs of text."""
    pairs = flat(dict(values)).items()
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in pairs
        if value is not None
    }


def _pair(pair: Sequence[float] | None) -> list[float | None] | None:
    return [_round(value) for value in pair] if pair else None


def _round(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, DECIMALS)

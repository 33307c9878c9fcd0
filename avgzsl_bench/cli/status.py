"""`avgzsl status`: what a grid of runs still lacks."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from avgzsl_bench.cli import _choices, _complete
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.config import RunConfig
    from avgzsl_bench.identity import Plan

EPILOG = "Example: avgzsl status -m eszsl -m kda -d demo -e hashed --seeds 3"

NAMES = "names"  # the usual --text
DONE, RUNNING, FAILED, MISSING = "done", "running", "failed", "missing"


class State(NamedTuple):
    """Where one run stands; `said` is who makes it, or what stopped it."""

    plan: "Plan"
    state: str
    said: str = ""


class Cell(NamedTuple):
    """The runs of one row in one column; `problem` says why there can be none."""

    row: str
    dataset: str
    encoder: str
    features: str = ""  # where several feature sets are asked about
    runs: tuple[State, ...] = ()
    problem: str = ""

    @property
    def column(self) -> str:
        """Its title."""
        return " · ".join(filter(None, (self.dataset, self.encoder, self.features)))

    @property
    def lacks(self) -> bool:
        """Whether a run of it is to be started."""
        return any(run.state in (FAILED, MISSING) for run in self.runs)

    def __str__(self) -> str:
        if self.problem:
            return "impossible"
        count = Counter(run.state for run in self.runs)
        more = [f"{count[state]} {state}" for state in (RUNNING, FAILED) if count[state]]
        return ", ".join([f"{count[DONE]}/{len(self.runs)}", *more])


def command(
    reproduction: Annotated[
        str | None,
        typer.Argument(
            metavar="REPRODUCTION",
            help="One of `avgzsl reproduce`, such as table3, instead of methods.",
            autocompletion=_complete.reproductions,
        ),
    ] = None,
    method: _choices.MethodsIfAny = None,
    dataset: _choices.DatasetsIfAny = None,
    encoder: _choices.EncodersIfAny = None,
    features: _choices.FeaturesIfAny = None,
    split: _choices.Split = None,
    text: _choices.Text = NAMES,
    aspects: _choices.Aspects = "",
    prompts: _choices.Prompts = "",
    combine: _choices.Combine = None,
    rules: _choices.RulesName = "corrected",
    selection: _choices.Selection = "validation",
    seeds: _choices.SeedsIfAny = None,
    set_: _choices.Settings = None,
    search: _choices.Search = None,
    precision: _choices.Precision = "float32",
    out: _choices.Out = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show which runs are done, under way, failed, missing or impossible, and the command that makes what is missing.

    Give what `avgzsl run` would be given, with any number of data sets and encoders, or the name of a reproduction.
    """
    own = {"features": features, "split": split, "aspects": aspects, "prompts": prompts, "combine": combine}
    own |= {"rules": rules if rules != "corrected" else "", "selection": selection if selection != "validation" else ""}
    own["precision"] = precision if precision != "float32" else ""
    shared = {"text": text if text != NAMES else "", "set": set_, "seeds": seeds, "out": out if out != Path("runs") else ""}
    if reproduction:
        stray = [f"--{key}" for key, value in {**own, "method": method, "search": search}.items() if value]
        found = _of_reproduction(reproduction, dataset or [], encoder or [], shared, out, stray)
    elif method and dataset:
        found = _of_grid(method, dataset, encoder or [None], features or [None], {**own, **shared, "search": search}, out)
    else:
        raise AvgzslError("there is nothing to look for; give --method and --dataset, or the name of a reproduction")
    _tell(*found, as_json)


def _of_grid(
    methods: list[str],
    data: list[str],
    encoders: "Sequence[str | None]",
    features: "Sequence[str | None]",
    flags: dict[str, Any],
    out: Path,
) -> tuple[list[Cell], list[str]]:
    from avgzsl_bench import config, datasets, plugins
    from avgzsl_bench.text.sources import choose

    for name in methods:
        plugins.find("methods", name)
    for name in data:
        datasets.get(name)
    combine = [f"combine={flags['combine']}"] if flags["combine"] else []
    settings = config.parse([*(flags["set"] or []), *combine])
    grid = {key: values.split(",") for key, values in config.parse(flags["search"] or [], "--search").items()}
    texts = choose(flags["text"] or NAMES, flags["aspects"], flags["prompts"])
    how = (
        texts,
        flags["rules"] or "corrected",
        flags["selection"] or "validation",
        flags["seeds"] or 1,
        settings,
        grid,
        flags["precision"] or "float32",
    )
    wanted = list(product(dict.fromkeys(data), dict.fromkeys(encoders), dict.fromkeys(features), dict.fromkeys(methods)))
    jobs = [_resolved(m, d, e, f, flags["split"], *how) for d, e, f, m in wanted]
    if all(isinstance(job, AvgzslError) for job in jobs):
        raise jobs[0]  # type: ignore[misc]
    several = len(set(features)) > 1
    names = [(m, d, e or datasets.get(d).encoder, f if several and f else "") for d, e, f, m in wanted]
    cells = [_cell(*name, job, out) for name, job in zip(names, jobs, strict=True)]
    return cells, list(_commands(cells, flags))


def _resolved(*choices: Any) -> "Sequence[RunConfig] | AvgzslError":
    """The runs of one method; or why there are none, which other methods of the grid need not share."""
    from avgzsl_bench import config

    try:
        return config.resolve(*choices)
    except AvgzslError as error:
        return error


def _cell(row: str, dataset: str, encoder: str, features: str, job: "Sequence[RunConfig] | AvgzslError | str", out: Path) -> Cell:
    """Where the runs of one job stand. Features and class text are opened as far as the names of runs need it."""
    from avgzsl_bench import identity

    if isinstance(job, AvgzslError | str):
        return Cell(row, dataset, encoder, features, problem=str(job))
    try:
        return Cell(row, dataset, encoder, features, tuple(_state(plan) for plan in identity.plan(job, out)))
    except AvgzslError as error:
        return Cell(row, dataset, encoder, features, problem=str(error))


def _state(plan: "Plan") -> State:
    import json

    from avgzsl_bench import claims

    if plan.done:
        return State(plan, DONE)
    if who := claims.holder(plan.folder):
        return State(plan, RUNNING, who)
    try:
        return State(plan, FAILED, str(json.loads((plan.folder / "failure.json").read_text(encoding="utf-8"))["error"]))
    except FileNotFoundError:
        return State(plan, MISSING)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return State(plan, FAILED, f"see {plan.folder / 'failure.json'}")


def _commands(cells: "Iterable[Cell]", flags: dict[str, Any]) -> Iterator[str]:
    """`avgzsl run` for what is to be started, one command a column."""
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for cell in cells:
        if cell.lacks:
            lacking.setdefault((cell.dataset, cell.encoder, cell.features), []).append(cell.row)
    for (dataset, encoder, features), methods in lacking.items():
        named = [word for name in methods for word in ("-m", name)]
        others = _words({**flags, "features": features or flags["features"]})
        yield shlex.join(["avgzsl", "run", *named, "-d", dataset, "-e", encoder, *others])


def _words(flags: dict[str, Any]) -> Iterator[str]:
    for key, value in flags.items():
        for one in value if isinstance(value, list) else [value] if value else []:
            yield from (f"--{key}", str(one))


def _of_reproduction(
    name: str, data: list[str], encoders: list[str], flags: dict[str, Any], out: Path, stray: list[str]
) -> tuple[list[Cell], list[str]]:
    from avgzsl_bench import config, reproduce

    if stray:
        raise AvgzslError(f"{name} says itself what {', '.join(stray)} would say; leave them out")
    if len(encoders) > 1:
        raise AvgzslError(f"{name} takes one --encoder, in place of CLIP; ask once for each")
    encoder = encoders[0] if encoders else None
    jobs = reproduce.jobs(name, data, flags["seeds"], encoder, flags["text"] or None, config.parse(flags["set"] or []))
    cells = [_cell(row, dataset, "", "", job, out) for row, dataset, job in jobs]
    named = [word for one in data for word in ("--dataset", one)]
    words = ["avgzsl", "reproduce", name, *named, *_words({"encoder": encoders, **flags})]
    return cells, [shlex.join(words)] if any(cell.lacks for cell in cells) else []


def _tell(cells: list[Cell], commands: list[str], as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps({"cells": [_row(cell) for cell in cells], "commands": commands}, indent=1))
        return
    _draw(cells)
    for line in _explained(cells):
        typer.echo(line)
    if commands:
        typer.echo("to do:")
    for line in commands:
        typer.echo(f"  {line}")


def _row(cell: Cell) -> dict[str, Any]:
    names = {"row": cell.row, "dataset": cell.dataset, "encoder": cell.encoder or None, "features": cell.features or None}
    return {**names, "impossible": cell.problem or None, "runs": [_run(run) for run in cell.runs]}


def _run(run: State) -> dict[str, Any]:
    about = {"run_id": run.plan.run_id, "seed": run.plan.config.seed, "encoder": run.plan.config.encoder}
    return {**about, "state": run.state, "said": run.said or None, "folder": str(run.plan.folder)}


def _draw(cells: list[Cell]) -> None:
    from avgzsl_bench.cli._sections import Section, draw

    found = {(cell.row, cell.column): str(cell) for cell in cells}
    names, columns = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    states = [run.state for cell in cells for run in cell.runs]
    rows = [(name, *(found.get((name, column), "") for column in columns)) for name in names]
    draw([Section(f"{states.count(DONE)} of {len(states)} runs are done", rows, ("", *columns))])


def _explained(cells: list[Cell]) -> Iterator[str]:
    """What the table has no room for: who makes a run, what stopped it, why there is none."""
    for cell in cells:
        for run in cell.runs:
            if run.said:
                yield f"{run.state}: {cell.row} on {cell.column}, seed {run.plan.config.seed}: {_line(run.said)}"
    for problem in dict.fromkeys(cell.problem for cell in cells if cell.problem):
        having = [cell for cell in cells if cell.problem == problem]
        rows, columns = (", ".join(dict.fromkeys(names)) for names in zip(*((c.row, c.column) for c in having), strict=True))
        yield f"impossible: {rows} on {columns}: {_line(problem)}"


def _line(text: str) -> str:
    return " ".join(text.split())

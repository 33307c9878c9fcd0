"""`avgzsl reproduce`: run what a table or figure of a paper is made of, and draw it beside the printed numbers."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _choices, _complete, _launching

if TYPE_CHECKING:
    from avgzsl_bench.reproduce.recipes import Recipe
    from avgzsl_bench.reproduce.works import Work

EPILOG = "Example: avgzsl reproduce figure2 --dataset demo --seeds 1 --set epochs=1"


Name = Annotated[
    str,
    typer.Argument(
        help="table1 to table6, figure2 or figure4 of the KDA paper, or same-text: all methods ranked with one class text.",
        autocompletion=_complete.reproductions,
    ),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        "-d",
        help="Data set of the table, or demo (synthetic); repeatable. Those that are imported, if left out.",
        autocompletion=_complete.datasets,
    ),
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Number of seeds, counted from 0; 5 if left out, and 1 for a picture.")]
Encoder = Annotated[
    str | None, typer.Option("--encoder", "-e", help="Text encoder in place of CLIP.", autocompletion=_complete.encoders)
]
Text = Annotated[
    str | None, typer.Option(help="Class texts in place of the pack `descriptions`, such as kda.", autocompletion=_complete.texts)
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one setting of every method that has it; repeatable."),
]
Format = Annotated[
    str | None, typer.Option(help="terminal, markdown, latex, csv or json; if left out, what --page ends in, else terminal.")
]


def command(
    name: Name,
    dataset: Datasets = None,
    seeds: Seeds = None,
    encoder: Encoder = None,
    text: Text = None,
    set_: Settings = None,
    out: _choices.Out = Path("runs"),
    device: _launching.Device = "auto",
    jobs: _launching.Jobs = 1,
    launcher: _launching.Name = "local",
    launch: _launching.Settings = None,
    format: Format = None,
    page: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run and what is missing, and stop.")] = False,
) -> None:
    """Run a reproduction and draw it as the paper does: measured, printed, difference. A second call only reads the records."""
    from avgzsl_bench import config, reproduce, runner
    from avgzsl_bench.reproduce import recipes, works
    from avgzsl_bench.reproduce.page import heading

    recipe = recipes.find(name)
    asked = works.Asked(tuple(dataset or ()), seeds, encoder, text, config.parse(set_ or []))
    form = reproduce.format_of(recipe, format, page)
    start = _launching.start(launcher, jobs, launch, runner.Options(out, device))
    found = works.plan(recipe, asked, out)
    reproduce.check_files(recipe, found, page)
    _announce(recipe, found)
    if dry_run:
        _list(found)
        return
    _tell_missing(found)
    failures = _launch(start, found)
    if recipe.drawn == "embedding":
        _say(reproduce.picture(recipe, found, page, device), heading(recipe, found, asked))
    else:
        _show(reproduce.draw(recipe, found, asked, form, failures), page)
    _complain(failures)


def _announce(recipe: "Recipe", found: "Sequence[Work]") -> None:
    plans = {plan.run_id: plan for work in found for plan in work.plans}
    done = sum(plan.done for plan in plans.values())
    where = ", ".join(dict.fromkeys(work.place.name for work in found))
    noun = "run" if len(plans) == 1 else "runs"
    typer.echo(f"{recipe.name} on {where}: {len(plans)} {noun}: {done} done, {len(plans) - done} to do", err=True)


def _tell_missing(found: "Sequence[Work]") -> None:
    """Each thing that is missing once, before hours of the rest."""
    for reason, works in _missing(found).items():
        lines = ", ".join(f"{work.line.label} on {work.place.name}" for work in works)
        typer.echo(f"left out: {lines}: {reason}", err=True)


def _missing(found: "Sequence[Work]") -> "dict[str, list[Work]]":
    missing: dict[str, list[Work]] = {}
    for work in found:
        if work.reason:
            missing.setdefault(work.reason, []).append(work)
    return missing


def _list(found: "Sequence[Work]") -> None:
    """Every line on every data set, and below them what is missing."""
    from avgzsl_bench.cli._sections import Section, draw

    rows, reasons = [], list(_missing(found))
    for work in found:
        run, done = work.runs[0], sum(plan.done for plan in work.plans)
        counts = (str(done), str(len(work.plans) - done)) if work.plans else ("–", "–")
        lacks = f"[{reasons.index(work.reason) + 1}]" if work.reason else ""
        rows.append((work.line.label, work.place.name, run.method, f"{run.encoder} of {run.text}", *counts, lacks))
    draw([Section("what would run", rows, ("line", "data set", "method", "class text", "done", "to do", "missing"))])
    for number, reason in enumerate(reasons, 1):
        typer.echo(f"[{number}] {reason}")


def _launch(start: _launching.Start, found: "Sequence[Work]") -> dict[str, str]:
    """The errors of runs, by run id. Raises AvgzslError where no line can be run here."""
    from avgzsl_bench.errors import AvgzslError

    if not any(work.plans for work in found):
        raise AvgzslError(f"nothing of this can be run here: {found[0].reason}")
    todo = [work for work in found if not all(plan.done for plan in work.plans)]
    ends = _launching.launch(start, [work.runs for work in todo], [plan for work in todo for plan in work.plans])
    return {run_id: state.error for run_id, state in ends.items() if state.error}


def _show(drawn: str, page: Path | None) -> None:
    from avgzsl_bench.files import write_whole

    if page is None:
        typer.echo(drawn, nl=False)
    else:
        write_whole(page, re.sub(r"\x1b\[[0-9;]*m", "", drawn))  # a file has no colours
        typer.echo(f"wrote {page}", err=True)


def _say(files: "Sequence[Path]", heading: "Iterable[str]") -> None:
    for line in heading:
        typer.echo(line)
    for file in files:
        typer.echo(f"wrote {file}")


def _complain(failures: dict[str, str]) -> None:
    from avgzsl_bench.errors import AvgzslError

    if failures:
        raise AvgzslError("; ".join(dict.fromkeys(failures.values())))

"""`avgzsl text ablation`: encoders and class texts compared, beside what KDA's paper prints."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _complete

if TYPE_CHECKING:
    from avgzsl_bench.board.grids import Ablation, Column, Grid, Line

EPILOG = "Example: avgzsl text ablation --dataset ucf --markdown"
RECORDS = Path("leaderboards/records")
SEEDS = 5  # of a command, where no run of its table says how many
MOST = 8  # commands shown


def command(
    records: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RECORDS", help=f"Records, or folders searched for them; {RECORDS} if none is given."),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", "-m", help="Method whose runs are compared.", autocompletion=_complete.methods)
    ] = "kda",
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="Show this data set only; repeatable.", autocompletion=_complete.datasets),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write GitHub Markdown.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
) -> None:
    """Compare text encoders (as the paper's Table 5) and class texts (as its Figure 2) from records that exist.

    Nothing is run: what is missing says so, and the commands that fill it in come last.
    """
    from avgzsl_bench import board
    from avgzsl_bench.files import write_whole

    sources = records or [path for path in (RECORDS,) if path.is_dir()]
    found = board.text_ablation(sources, method, dataset or [])
    text = board.draw_ablation(found, markdown or bool(out and out.suffix == ".md"))
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_whole(out, re.sub(r"\x1b\[[0-9;]*m", "", text))  # a file has no colours
        typer.echo(f"wrote {out}", err=True)
    commands = list(dict.fromkeys(_commands(found, next((path for path in sources if path.is_dir()), RECORDS))))
    if commands:
        typer.echo("\nNot run yet, and everything for it is here:", err=True)
        typer.echo("\n".join(commands[:MOST]), err=True)
        typer.echo(f"and {len(commands) - MOST} more\n" * (len(commands) > MOST), err=True, nl=False)


def _commands(found: "Ablation", out: Path) -> Iterator[str]:
    """`avgzsl run` for every missing cell whose weights, texts and features are on this machine."""
    from avgzsl_bench.errors import AvgzslError

    for grid in found.grids:
        for line, column in grid.missing():
            try:
                options = _options(grid, line, column)
                fills = _fills(options, column)
            except AvgzslError:  # something that the run needs is not here
                continue
            if fills:
                given = " ".join(f"{flag} {shlex.quote(value)}" for flag, value in options)
                yield f"avgzsl run {given} --seeds {grid.seeds or SEEDS} --out {shlex.quote(str(out))}"


def _options(grid: "Grid", line: "Line", column: "Column") -> list[tuple[str, str]]:
    from avgzsl_bench.text.sources import choice_of

    (encoder, *own), (text, *_) = (line.subject, grid.fixed) if grid.kind == "encoder" else (grid.fixed, line.subject)
    choice, setting = choice_of(text), grid.setting
    usual_form = "reference" if setting.rules == "reference" else "paper"
    changed = [f"form={setting.form}"] * (setting.form != usual_form) + [one for one in setting.changed if " | " not in one]
    given = [
        ("--method", setting.method),
        ("--dataset", column.dataset),
        *_place(column),
        ("--encoder", encoder),
        ("--text", choice.source),
        ("--aspects", ",".join(choice.aspects)),
        ("--prompts", choice.prompts),
        ("--rules", setting.rules if setting.rules != "corrected" else ""),
        *(("--set", one) for one in changed),
        *(("--set", f"encoder.{one}") for one in own),
        *(("--search", one.replace(" | ", ",")) for one in setting.changed if " | " in one),
    ]
    return [(flag, value) for flag, value in given if value]


def _place(column: "Column") -> list[tuple[str, str]]:
    """No more than it takes to name the features and the split."""
    from avgzsl_bench import config, datasets

    data, wanted = datasets.get(column.dataset), (column.features, column.split)
    if config.choose_features(data, column.dataset, None, None) == wanted:
        return []
    usual = config.choose_features(data, column.dataset, column.features, None) == wanted
    return [("--features", column.features), *([] if usual else [("--split", column.split)])]


def _fills(options: list[tuple[str, str]], column: "Column") -> bool:
    """Whether a run with these options is on the data of a column. Raises AvgzslError where it cannot start here."""
    from avgzsl_bench import config, identity
    from avgzsl_bench.text.sources import choose

    one = dict(options)
    names = (one["--method"], one["--dataset"], one["--encoder"], one.get("--features"), one.get("--split"))
    texts = choose(one["--text"], one.get("--aspects", ""), one.get("--prompts", ""))
    settings = config.parse([value for flag, value in options if flag == "--set"])
    tried = config.parse([value for flag, value in options if flag == "--search"], "--search")
    search = {key: values.split(",") for key, values in tried.items()}
    job = config.resolve(*names, texts, one.get("--rules", "corrected"), settings=settings, search=search)
    found, content = identity.plan(job, RECORDS)[0].identity, dict(column.content)
    same = all(content.get(key, found[key]) == found[key] for key in ("dataset_revision", "features_sha256"))
    return same and bool(found["synthetic"] == column.synthetic)

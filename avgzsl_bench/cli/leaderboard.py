"""`avgzsl leaderboard`: measured rows beside published ones, and the generated files of a leaderboard's folder."""

import re
from pathlib import Path

import typer

from avgzsl_bench.cli import _complete
from avgzsl_bench.errors import AvgzslError

EPILOG = "Example: avgzsl leaderboard --format markdown"
FOLDER = Path("leaderboards")
DONE = {"missing": "wrote", "stale": "wrote", "surplus": "removed"}


def command(
    records: list[Path] = typer.Argument(
        None,
        metavar="RECORDS",
        help=f"Records, or folders searched for them; ./runs if none is given. With --check or --update: the folder of "
        f"the generated files, whose records/ they are made from; ./{FOLDER} if none is given.",
    ),
    format: str = typer.Option(
        None,
        help="terminal, markdown, html, latex, csv, json or a plugin's; if left out, what --out ends in, else terminal.",
        autocompletion=_complete.renderers,
    ),
    dataset: str = typer.Option(None, "--dataset", "-d", help="Show one data set only.", autocompletion=_complete.datasets),
    out: Path = typer.Option(None, help="Write to this file instead of the terminal."),
    check: bool = typer.Option(False, "--check", help="Write nothing; name missing, stale and surplus files, exit 1 if any."),
    update: bool = typer.Option(False, "--update", help="Write what is missing or stale, remove tables of keys that are gone."),
) -> None:
    """Draw the leaderboard: the mean and interval of every measured setting, beside the published numbers.

    --check and --update are about a whole folder: README.md, index.html, text.md and tables/. Plugins are left out of these.
    """
    if check or update:
        _generated(records or [], check, update, shown=bool(format or dataset or out))
    else:
        _draw(records or [], format, dataset, out)


def _draw(records: list[Path], format: str | None, dataset: str | None, out: Path | None) -> None:
    from avgzsl_bench import board
    from avgzsl_bench import records as store
    from avgzsl_bench.files import write_whole

    sources = records or [path for path in (Path("runs"),) if path.is_dir()]
    found = [path for source in sources for path in store.find(source)]
    if not found:
        where = ", ".join(str(path) for path in records or [Path("runs")])
        typer.echo(f"no records in {where} yet; `avgzsl run --method eszsl --dataset demo` makes one", err=True)
    text = board.leaderboard(sources, format or (board.format_for(out) if out else "terminal"), dataset)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_whole(out, re.sub(r"\x1b\[[0-9;]*m", "", text))  # a file has no colours
        typer.echo(f"wrote {out}", err=True)


def _generated(folders: list[Path], check: bool, update: bool, shown: bool) -> None:
    from avgzsl_bench.board import pages

    if check and update:
        raise AvgzslError("--check writes nothing and --update writes; give one of them")
    if shown or len(folders) > 1:
        raise AvgzslError("--check and --update take one folder, and neither --format, --dataset nor --out")
    folder = folders[0] if folders else FOLDER
    found = pages.check(folder) if check else pages.update(folder)
    for difference in found:
        typer.echo(f"{difference.kind}: {difference.path}" if check else f"{DONE[difference.kind]} {difference.path}")
    if not found:
        typer.echo(f"{folder} is fresh", err=True)
    elif check:
        typer.echo(f"`avgzsl leaderboard --update {folder}` mends it", err=True)
        raise typer.Exit(1)

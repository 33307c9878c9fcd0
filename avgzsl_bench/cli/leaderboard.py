"""`avgzsl leaderboard`: measured rows beside published ones."""

import re
from pathlib import Path

import typer

from avgzsl_bench.cli import _complete

EPILOG = "Example: avgzsl leaderboard --format markdown"


def command(
    records: list[Path] = typer.Argument(
        None, metavar="RECORDS", help="Records, or folders searched for them; ./runs if none is given."
    ),
    format: str = typer.Option(
        None,
        help="terminal, markdown, csv, json or a plugin's; if left out, what --out ends in, else terminal.",
        autocompletion=_complete.renderers,
    ),
    dataset: str = typer.Option(None, "--dataset", "-d", help="Show one data set only.", autocompletion=_complete.datasets),
    out: Path = typer.Option(None, help="Write to this file instead of the terminal."),
) -> None:
    """Draw the leaderboard: the mean and interval of every measured setting, beside the published numbers."""
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

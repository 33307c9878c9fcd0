"""What every kind of picture is asked for: which records, and which files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _complete

if TYPE_CHECKING:
    from avgzsl_bench.board.measured import Group

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="RECORDS",
        help="Records or folders of them, beginnings of run or setting ids, or methods.",
        autocompletion=_complete.methods,
    ),
]
Stores = Annotated[
    list[Path] | None,
    typer.Option(
        "--records",
        metavar="FOLDER",
        help="Look ids and methods up here; repeatable. ./runs and ./leaderboards/records if left out.",
    ),
]
Out = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Draw into this .png, .pdf or .svg; repeatable. A .png named by its content if left out."),
]
Width = Annotated[str, typer.Option(help="Width: column (3.3 inches) or page (6.9).", autocompletion=_complete.widths)]


def settings(names: Sequence[str], stores: Sequence[Path] | None) -> "list[Group]":
    """The settings that the names mean."""
    from avgzsl_bench.board import lookup

    return lookup.settings(names, stores or ())


def say(files: Sequence[Path]) -> None:
    """Name what was drawn."""
    for file in files:
        typer.echo(file)

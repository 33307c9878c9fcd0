"""`avgzsl submit`: whether records may enter a leaderboard, and entering them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from avgzsl_bench.submission import Verdict

app = typer.Typer(help="Check records for a leaderboard, and put them into its folder.", no_args_is_help=True)

UNFIT, UNREADABLE = 1, 2

Records = Annotated[list[Path], typer.Argument(metavar="PATH", help="Records (record.json), or folders searched for them.")]
To = Annotated[Path, typer.Option(help="Folder of the leaderboard's records.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a record.")]


@app.command(epilog="Example: avgzsl submit check runs")
def check(paths: Records, to: To = Path("leaderboards/records"), as_json: Json = False) -> None:
    """Check that records are whole, follow from their decisions and say how they were made; list every fault.

    Exit code 1 where a record is not fit to enter, 2 where one cannot be read.
    """
    from avgzsl_bench import submission

    verdicts = submission.check(paths, to)
    _tell(verdicts, as_json)
    _stop_unless_fit(verdicts)


@app.command(epilog="Example: avgzsl submit add runs")
def add(paths: Records, to: To = Path("leaderboards/records"), as_json: Json = False) -> None:
    """Check records and, if all of them are fit, copy each with its decisions into the leaderboard's folder."""
    from avgzsl_bench import submission

    verdicts = submission.check(paths, to)
    unfit = [verdict for verdict in verdicts if not verdict.fit]
    added = [] if unfit else submission.add(verdicts, to)
    _tell(unfit if unfit and not as_json else verdicts, as_json)
    if unfit:
        typer.echo("nothing was copied", err=True)
    elif added:
        typer.echo(f"copied {_records(len(added))} to {to}", err=True)
        typer.echo("next: `avgzsl leaderboard --update`, commit what it and this changed, and open a pull request", err=True)
    else:
        typer.echo(f"nothing to copy: all of them are in {to} already", err=True)
    _stop_unless_fit(verdicts)


def _tell(verdicts: "list[Verdict]", as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps([_row(verdict) for verdict in verdicts], indent=1))
        return
    for verdict in verdicts:
        for fault in verdict.faults:
            typer.echo(f"{verdict.path}: {_line(fault)}")
        if verdict.fit:
            typer.echo(f"{verdict.path}: fit; {'; '.join(map(_line, verdict.remarks))}")
    unfit = sum(not verdict.fit for verdict in verdicts)
    typer.echo(f"{_records(len(verdicts))}: {len(verdicts) - unfit} fit, {unfit} not", err=True)


def _row(verdict: "Verdict") -> dict[str, Any]:
    about = {"path": str(verdict.path), "run_id": verdict.run_id, "fit": verdict.fit, "readable": verdict.record is not None}
    return {**about, "faults": list(verdict.faults), "remarks": list(verdict.remarks)}


def _line(text: str) -> str:
    """One line of printable text: a record that a stranger wrote may hold anything."""
    return "".join(sign if sign.isprintable() else "�" for sign in " ".join(text.split()))


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def _stop_unless_fit(verdicts: "list[Verdict]") -> None:
    if any(verdict.record is None for verdict in verdicts):
        raise typer.Exit(UNREADABLE)
    if not all(verdict.fit for verdict in verdicts):
        raise typer.Exit(UNFIT)

"""`avgzsl compare`: two settings, and whether they are apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _complete
from avgzsl_bench.cli._sections import Section, draw

if TYPE_CHECKING:
    from avgzsl_bench.board.comparing import Compared, Line
    from avgzsl_bench.significance import Interval

EPILOG = "Example: avgzsl compare 9b654d9a 547db76c"
UNKNOWN = "–"


def command(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="Setting: the beginning of its id or of a run's, a method with one setting, or a path of records.",
            autocompletion=_complete.methods,
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The other, named likewise.", autocompletion=_complete.methods)],
    records: Annotated[
        list[Path] | None,
        typer.Option(help="Folder in which names are looked up; repeatable. ./runs and leaderboards/records if left out."),
    ] = None,
    classes: Annotated[int, typer.Option(min=0, help="Classes shown, unseen and seen, of those that differ most.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare two settings: their numbers with intervals over seeds, clips and classes, and tests of the difference in HM.

    They count as separated only if the difference is more than other seeds, other test clips, and both together make.
    """
    import json

    from avgzsl_bench.board import comparing, lookup

    found = comparing.compare(lookup.one(first, records or []), lookup.one(second, records or []))
    if as_json:
        typer.echo(json.dumps(comparing.as_dict(found), indent=1, ensure_ascii=False))
        return
    for name, group in zip(comparing.NAMES, found.groups, strict=True):
        typer.echo(f"{name}  {comparing.about(group)}")
    for caution in found.cautions:
        typer.secho(caution, fg="yellow", bold=True)
    typer.echo()
    draw([*_numbers(found), *_classes(found, classes)])
    typer.secho(found.verdict, bold=True)


def _numbers(found: "Compared") -> Iterator[Section]:
    from avgzsl_bench.board.cells import METRICS

    title = f"{found.title}: mean over the runs in per cent, with its 95 % interval over other seeds, clips and classes"
    rows = [row for metric, line in found.lines.items() for row in _line(METRICS[metric], line)]
    yield Section(title, rows, ("", "over", *_sides(found), "A − B"))
    tests, points = found.tests, f"{100 * found.tests.difference:+.2f}"
    paired = f"{100 * tests.clips.difference:+.2f}", _range((100 * tests.clips.low, 100 * tests.clips.high), "+")
    made = [
        ("seeds: Welch's t test", points, "", _p(found, tests.seeds)),
        ("clips: paired bootstrap, HM of mean S and U", *paired, _p(found, tests.clips.p)),
        ("seeds and clips: both spreads added", points, "", _p(found, tests.together)),
    ]
    yield Section("HM: how often equal settings would differ as much, by chance over", made, ("", "A − B", "95 %", "p"))


def _classes(found: "Compared", most: int) -> Iterator[Section]:
    for unseen in (True, False):
        rows = [
            (one.name, str(one.clips), f"{one.first:.2f}", f"{one.second:.2f}", f"{one.difference:+.2f}")
            for one in found.classes_of(unseen, most)
        ]
        title = f"{'unseen' if unseen else 'seen'} classes that differ most: accuracy among all classes in per cent"
        yield Section(title, rows, ("class", "clips", *_sides(found), "A − B"))


def _sides(found: "Compared") -> list[str]:
    from avgzsl_bench.board.comparing import NAMES

    return [f"{name}: {group.identity['method']}" for name, group in zip(NAMES, found.groups, strict=True)]


def _line(name: str, line: "Line") -> Iterator[tuple[str, ...]]:
    yield (name, "seeds", *map(str, line.cells), f"{line.difference:+.2f}")
    for unit, (first, second, between) in line.intervals.items():
        yield ("", unit, _range(first), _range(second), _range(between, "+"))


def _range(found: "Interval | None", sign: str = "") -> str:
    return UNKNOWN if found is None else f"{found[0]:{sign}.2f} to {found[1]:{sign}.2f}"


def _p(found: "Compared", p: float | None) -> str:
    from avgzsl_bench.board.comparing import p_text

    if p is None:
        return "cannot tell" if found.tests.p is None else UNKNOWN
    return p_text(p).removeprefix("p ").removeprefix("= ")

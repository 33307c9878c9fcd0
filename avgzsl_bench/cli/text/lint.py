"""`avgzsl text lint`: what is wrong with a description pack, and a sample of it to read."""

from random import Random
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _complete
from avgzsl_bench.cli._sections import Section, draw
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.text.packs import Pack

EPILOG = "Example: avgzsl text lint ucf --read 3"


def command(
    dataset: Annotated[
        str | None, typer.Argument(help="Data set; all that have the pack if left out.", autocompletion=_complete.datasets)
    ] = None,
    text: Annotated[str, typer.Option(help="Pack, by name or as a file.", autocompletion=_complete.texts)] = "descriptions",
    read: Annotated[int, typer.Option(min=0, help="Print so many of its texts, drawn at random, for reading.")] = 30,
    seed: Annotated[int, typer.Option(help="Draw others.")] = 0,
) -> None:
    """Lint a description pack: coverage, length, repetition, whether a definition is of its class; print some of it to read."""
    from avgzsl_bench import datasets
    from avgzsl_bench.text import linting, packs

    wanted = [dataset] if dataset else [name for name in datasets.names() if text in packs.names(name)]
    if not wanted:
        raise AvgzslError(f"no data set has a pack {text!r}; give DATASET with a file, or `avgzsl text list` lists the packs")
    faults = []
    for name in wanted:
        data = datasets.get(name)
        pack = packs.read(packs.locate(text, name), name)
        report = linting.lint(pack, data.classes(data.splits[0]), style=not data.synthetic)
        title = f"{pack.name}@{pack.version} of {name}: {len(pack.entries)} classes{', form only: synthetic' * data.synthetic}"
        draw([Section(title, [("origin", pack.origin), *report.figures]), _sample(pack, read, seed)])
        faults += [f"{name}: {fault}" for fault in report.faults]
    for fault in faults:
        typer.echo(f"fault: {fault}")
    if faults:
        raise AvgzslError(f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'} in {text!r}, listed above; mend the file")
    typer.echo("no faults")


def _sample(pack: "Pack", count: int, seed: int) -> Section:
    texts = [
        (name, aspect, str(text))
        for name, entry in pack.entries.items()
        if isinstance(entry, dict)
        for aspect, text in entry.items()
    ]
    drawn = Random(seed).sample(texts, min(count, len(texts)))
    return Section(f"{len(drawn)} of its {len(texts)} texts, to read", drawn, ("class", "aspect", "text"))

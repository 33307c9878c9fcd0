"""`avgzsl text audit`: which classes get another class's text from the reference loaders."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _complete
from avgzsl_bench.cli._sections import Section, draw, markdown

if TYPE_CHECKING:
    from avgzsl_bench.contracts import Dataset
    from avgzsl_bench.text.audit import Order

EPILOG = "Example: avgzsl text audit ucf"
TITLE = "classes that get another class's text under --rules reference"


def command(
    dataset: Annotated[
        str | None,
        typer.Argument(help="Data set; those of the reference code if left out.", autocompletion=_complete.datasets),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List each of these classes, and whose text it gets.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Write Markdown.")] = False,
) -> None:
    """Audit whose text each class gets from the reference loaders, which index a list of another order by class id.

    `avgzsl audit` is about printed and recorded numbers.
    """
    from avgzsl_bench import datasets
    from avgzsl_bench.text import audit

    found = [datasets.get(name) for name in ([dataset] if dataset else audit.FAMILY)]
    rows = [row for data in found for row in _counts(data)]
    columns = (column.replace(" ", "\n") for column in audit.ROLES)
    sections = [Section(TITLE, rows, ("data set", "split", "text", *columns))]
    if every:
        sections += [section for data in found for section in _each(data)]
    if as_markdown:
        typer.echo(markdown(sections), nl=False)
    else:
        draw(sections)


def _counts(data: "Dataset") -> Iterator[tuple[str, ...]]:
    from avgzsl_bench.text import audit

    for split in data.splits:
        classes = data.classes(split)
        for order in audit.orders(data.name, classes):
            counts = audit.counts(order, classes).values()
            yield data.name, split, _text(order), *(f"{wrong}/{total}" for wrong, total in counts)


def _text(order: "Order") -> str:
    """Short enough for a row: the encoder of names, or the pack."""
    return order.encoder if order.source == "names" else order.source


def _each(data: "Dataset") -> Iterator[Section]:
    from avgzsl_bench.text import audit

    classes = data.classes(data.splits[0])
    for order in audit.orders(data.name, classes):
        title = f"{data.name}, --text {order.source} --encoder {order.encoder}: in the order of {order.of}"
        rows = [(classes[i].name, classes[order.rows[i]].name, classes[i].role) for i in audit.wrong(order, classes)]
        yield Section(title, rows, ("class", "gets the text of", f"role in {data.splits[0]}"))

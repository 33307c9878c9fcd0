"""Titled tables, drawn on the terminal or written as Markdown."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Section(NamedTuple):
    """A titled table; without columns, rows are a name and what it says."""

    title: str
    rows: Sequence[Sequence[str]]
    columns: Sequence[str] = ()


def draw(sections: Iterable[Section]) -> None:
    """Print sections to the terminal, leaving out those without rows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, highlight=False, emoji=False)
    for section in sections:
        if not section.rows:
            continue
        console.print(Text(section.title, style="bold"))  # not as the table's title, which is folded to the table's width
        table = Table(show_header=bool(section.columns), box=None)
        for column in section.columns or [""] * len(section.rows[0]):
            table.add_column(column, overflow="fold")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)
        console.print()


def markdown(sections: Iterable[Section]) -> str:
    """Sections as Markdown, one heading and one table each."""
    return "\n".join(_markdown(section) for section in sections if section.rows)


def _markdown(section: Section) -> str:
    columns = section.columns or [""] * len(section.rows[0])
    lines = [columns, ["---"] * len(columns), *section.rows]
    return "\n".join([f"### {section.title}\n", *(_line(cells) for cells in lines), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"

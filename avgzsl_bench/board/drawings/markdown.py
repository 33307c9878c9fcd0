"""Grids as a page of GitHub Markdown: the printed numbers in lines of their own."""

from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from avgzsl_bench.board.cells import DASH, METRICS
from avgzsl_bench.board.grids import NOT_RUN, Column, Drawn, Line, Page


def draw(page: Page[Any]) -> str:
    """One table a grid, footnotes at the end."""
    parts = [f"# {_escape(page.title)}", *(_escape(line) for line in page.heading)]
    parts += ["\n".join(f"- {_escape(line)}" for line in page.words)]
    group = ""
    for grid in page.grids:
        parts += [f"## {_escape(grid.group)}"] * (grid.group != group)
        group = grid.group
        parts.append(f"### {_escape(grid.title)}")
        parts += [f"Printed numbers: {_escape(grid.printed_in)}."] * bool(grid.printed_in)
        parts.append(_table(grid, page))
    notes = [f"{number}. {_escape(note)}" for number, note in enumerate(page.notes, 1)]
    remarks = [f"- {_escape(remark)}" for remark in page.remarks]
    return "\n\n".join([*parts, *("\n".join(lines) for lines in (notes, remarks) if lines)]) + "\n"


def _table(grid: Drawn, page: Page[Any]) -> str:
    names = ("n", *(METRICS[metric] for metric in grid.metrics))
    above = ["<br>".join(map(_escape, grid.heading(column))) for column in grid.columns]
    headers = [grid.head, *(f"{title}<br>{name}" for title in above for name in names)]
    body = [cells for line in grid.lines for cells in _rows(grid, line, page)]
    align = ["left", *["right"] * (len(headers) - 1)]
    return str(tabulate(body, headers, "github", colalign=align, disable_numparse=True))


def _rows(grid: Drawn, line: Line, page: Page[Any]) -> Iterator[list[str]]:
    """What was measured, and below it, where there are such, what is printed and the difference."""
    across = [(column, metric) for column in grid.columns for metric in ("n", *grid.metrics)]
    yield [f"{_escape(', '.join(line.subject))}{_sup(page.mark(line.notes))}", *(_own(line, *at, page) for at in across)]
    if line.printed:
        yield ["*printed*", *("" if metric == "n" else _theirs(line, column, metric, page) for column, metric in across)]
    differences = ["" if metric == "n" else line.shown_difference(column, metric) for column, metric in across]
    if any(differences):
        yield ["*difference*", *differences]


def _own(line: Line, column: Column, metric: str, page: Page[Any]) -> str:
    row = line.measured.get(column)
    if row is not None:
        return f"{row.n}{_sup(page.mark(row.notes))}" if metric == "n" else str(row.measured[metric])
    return (f"{NOT_RUN}{_sup(page.mark(line.absent_for(column)))}" if line.runs else DASH) if metric == "n" else ""


def _theirs(line: Line, column: Column, metric: str, page: Page[Any]) -> str:
    cell = line.printed[column][metric] if column in line.printed else None
    return "" if cell is None else f"{cell}{_sup(page.mark(cell.notes))}"


def _sup(marks: str) -> str:
    return marks.replace("[", "<sup>").replace("]", "</sup>")


def _escape(text: str) -> str:
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return text

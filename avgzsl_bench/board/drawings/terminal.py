"""Grids for a terminal: a block a data set, as many side by side as the window holds."""

import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from avgzsl_bench.board.cells import DASH, METRICS, Cell
from avgzsl_bench.board.grids import NOT_RUN, Column, Drawn, Line, Page

UNKNOWN_WIDTH = 100  # of a pipe or a file
NAME_WIDTH = 26  # of the first column, which is folded


def draw(page: Page[Any]) -> str:
    """Coloured on a terminal, plain elsewhere; as wide as the window."""
    width = shutil.get_terminal_size((UNKNOWN_WIDTH, 24)).columns
    written = io.StringIO()
    console = Console(file=written, width=width, force_terminal=sys.stdout.isatty(), highlight=False)
    for part in _parts(page, width):
        console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def _parts(page: Page[Any], width: int) -> Iterator[RenderableType]:
    yield Rule(Text(page.title, "bold"), align="left", style="dim")
    yield from (Text(line, "yellow") for line in page.heading)
    group = ""
    for grid in page.grids:
        if grid.group != group:
            group = grid.group
            yield Text(f"{group}\n", "bold")
        heading = Text(grid.title, "bold cyan")
        yield heading.append(f"    printed: {grid.printed_in}" if grid.printed_in else "", "not bold dim")
        yield from (drawn for part in _side_by_side(grid, page, width) for drawn in (part, ""))
    yield from (Text(line, "dim") for line in page.words)
    yield from (Text(f"[{number}] {note}") for number, note in enumerate(page.notes, 1))
    yield from (Text(remark, "yellow") for remark in page.remarks)


def _side_by_side(grid: Drawn, page: Page[Any], width: int) -> Iterator[Table]:
    """The blocks of the data sets, in as many tables as the window needs."""
    rows = [row for line in grid.lines for row in _rows(grid, line, page)]
    blocks = [block for row in rows for block in row.blocks if block[1:]]
    digits = 3 + max([1, *(len(own[0]) for own in blocks)]), 1 + max([7, *(len(text) for own in blocks for text in own[1:])])
    names = ("n", *(METRICS[metric] for metric in grid.metrics))
    above = [grid.heading(column) for column in grid.columns]
    heads = ["\n".join((*lines, *[""] * (max(map(len, above)) - len(lines)), _block(names, digits))) for lines in above]
    widest = max(len(line) for head in heads for line in head.splitlines())
    longest = min(NAME_WIDTH, max(10, width - widest - 2), max(len(text) for text in (grid.head, *(row.name for row in rows))))
    many = max(1, (width - longest) // (widest + 2))
    for start in range(0, len(heads), many):
        drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, header_style="bold")
        drawn.add_column("\n" * max(map(len, above)) + grid.head, width=longest, overflow="fold")
        for head in heads[start : start + many]:
            drawn.add_column(Text(head), no_wrap=True, width=widest)
        for row in rows:
            own = row.blocks[start : start + many]
            if any(map(any, own)) or row.about:
                drawn.add_row(Text(row.name), *(Text(_block(block, digits)) for block in own), style=row.style)
        yield drawn


class _Row(NamedTuple):
    """One printed line of a grid: a block a data set, of n and the metrics, or of one text in their place."""

    name: str
    blocks: list[tuple[str, ...]]
    style: str = ""
    about: bool = False  # whether its name says something where its blocks do not


def _rows(grid: Drawn, line: Line, page: Page[Any]) -> Iterator[_Row]:
    """The means, their intervals, and where there are such what is printed and the difference."""
    name, *settings = line.subject
    yield _Row(f"{name} {page.mark(line.notes)}".rstrip(), [_means(grid, line, column, page) for column in grid.columns])
    rows = [line.measured.get(column) for column in grid.columns]
    if line.measured or settings:
        spreads = [("", *(row.measured[key].spread for key in grid.metrics)) if row else () for row in rows]
        yield _Row(", ".join(settings), spreads, "dim", about=bool(settings))
    if line.printed:
        cells = [line.printed.get(column) for column in grid.columns]
        yield _Row("  printed", [("", *(_marked(own[key], page) for key in grid.metrics)) if own else () for own in cells])
    differences = [("", *(line.shown_difference(column, key) for key in grid.metrics)) for column in grid.columns]
    if any(map(any, differences)):
        yield _Row("  difference", differences)


def _means(grid: Drawn, line: Line, column: Column, page: Page[Any]) -> tuple[str, ...]:
    row = line.measured.get(column)
    if row:
        return f"{page.mark(row.notes)}{row.n}", *(_mean(row.measured[key]) for key in grid.metrics)
    return (f"{NOT_RUN} {page.mark(line.absent_for(column))}".rstrip() if line.runs else DASH,)


def _marked(cell: Cell, page: Page[Any]) -> str:
    return f"{page.mark(cell.notes)} {_mean(cell)}".lstrip()


def _mean(cell: Cell) -> str:
    return DASH if cell.mean is None else f"{cell.mean:.2f}"


def _block(texts: Sequence[str], digits: tuple[int, int]) -> str:
    """n and the metrics, each as wide as the widest of its kind."""
    first, *numbers = texts or ("",)
    return f"{first:>{digits[0]}}" + "".join(f"{number:>{digits[1]}}" for number in numbers)

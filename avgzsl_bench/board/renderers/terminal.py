"""The leaderboard for a terminal: one line a row where the window is wide, two where it is not."""

import io
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table as Grid
from rich.text import Text

from avgzsl_bench.board import grids
from avgzsl_bench.board.cells import DASH, METRICS, Cell, Row
from avgzsl_bench.board.grids import NOT_RUN, Ablation, Line
from avgzsl_bench.board.table import CAPTION, RULES, UNMEASURED, Section, Table
from avgzsl_bench.contracts import Renderer

WIDE = 170  # one line a row from here on
TIGHT = 96  # single spaces between columns up to here
UNKNOWN_WIDTH = 100  # of a pipe or a file
NAME_WIDTH = 22  # of an encoder or a text in an ablation


class Terminal(Renderer):
    """Coloured on a terminal, plain elsewhere; as wide as the window."""

    suffix = ".txt"

    def render(self, table: Table) -> str:
        return draw(table) + "\n"


def draw(table: Table, caption: bool = True) -> str:
    """The table as text without a last newline, with or without the words about it."""
    width = _window()
    return _printed(_parts(table, width, caption), width)


def _window() -> int:
    return shutil.get_terminal_size((UNKNOWN_WIDTH, 24)).columns


def _printed(parts: Iterable[RenderableType], width: int) -> str:
    written = io.StringIO()
    console = Console(file=written, width=width, force_terminal=sys.stdout.isatty(), highlight=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def _parts(table: Table, width: int, caption: bool) -> Iterator[RenderableType]:
    rules = ""
    for section in table.sections:
        if caption and section.place.rules != rules:
            rules = section.place.rules
            title = "published only" if rules == UNMEASURED else f"rules: {rules}"
            yield Rule(Text(title, "bold"), align="left", style="dim")
            yield Text(f"{RULES.get(rules, 'rules of another version')}\n", "dim")
        yield _section(section, table, width)
        yield ""
    if caption:
        yield from (Text(line, "dim") for line in CAPTION)
    yield from (Text(f"[{number}] {note}") for number, note in enumerate(table.notes, 1))
    yield from (Text(remark, "yellow") for remark in table.remarks)


def _section(section: Section, table: Table, width: int) -> Group:
    heading = Text.from_markup(f"[bold cyan]{escape(section.place.dataset)}[/]")
    heading.append(section.title.removeprefix(section.place.dataset), "bold yellow" if section.place.synthetic else "cyan")
    if section.printed_in:
        heading.append(f"    published: {section.printed_in}", "dim")
    fill = (_wide if width >= WIDE else _narrow) if section.measured else _bare
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, int(width >= TIGHT), 0, 0), show_edge=False, header_style="bold")
    fill(grid, section, table)
    return Group(heading, grid)


def _columns(grid: Grid, names: tuple[str, ...], section: Section) -> None:
    for name in names:
        number = name in ("#", "n")
        grid.add_column(name, justify="right" if number else "left", overflow="fold", min_width=20 if name == "method" else None)
    for name in METRICS.values() if section.measured else ():
        grid.add_column(name, justify="right", no_wrap=True)
    for name in METRICS.values() if section.printed_in else ():
        grid.add_column(f"{name}\npubl.", justify="right", no_wrap=True)


def _wide(grid: Grid, section: Section, table: Table) -> None:
    """One line a row; the settings that changed stand below the method."""
    _columns(grid, ("#", "method", "encoder", "text", "recipe", "source", "n"), section)
    for row in section.rows:
        about = (row.encoder, row.text, row.recipe, row.source, str(row.n or DASH))
        numbers = (_line(cell, table) for cell in _cells(section, row))
        grid.add_row(str(row.rank or DASH), _name(row, table), *about, *numbers, style=_style(row))


def _narrow(grid: Grid, section: Section, table: Table) -> None:
    """Two lines a row: what was run stands below the method, the interval below the mean."""
    _columns(grid, ("#", "method"), section)
    for row in section.rows:
        about = f"{row.encoder} · {row.text} · {row.recipe} · {row.source} · n={row.n}" if row.n else ""
        numbers = (_stack(cell, table) for cell in _cells(section, row))
        grid.add_row(str(row.rank or DASH), _name(row, table, about), *numbers, style=_style(row))


def _bare(grid: Grid, section: Section, table: Table) -> None:
    """Systems and their published numbers, where nothing is measured."""
    _columns(grid, ("method",), section)
    for row in section.rows:
        grid.add_row(_name(row, table), *(_line(cell, table) for cell in _cells(section, row)))


def _cells(section: Section, row: Row) -> list[Cell]:
    return [*row.measured.values()] * section.measured + [*row.published.values()] * bool(section.printed_in)


def _name(row: Row, table: Table, about: str = "") -> Group:
    name = Text(row.name, "bold" if row.rank == 1 else "")
    name.append(f" {_mark(row.notes, table)}".rstrip(), "yellow")
    below = [line for line in (", ".join(row.changed), about) if line]
    return Group(name, *(Padding(Text(line, "dim", overflow="fold"), (0, 0, 0, 2)) for line in below))


def _line(cell: Cell, table: Table) -> Text:
    """A mark stands before its number, so that the points stay in line."""
    text = Text().append(f"{_mark(cell.notes, table)} ".lstrip(), "yellow").append(_mean(cell))
    return text.append(f" {cell.spread}".rstrip(), "dim")


def _stack(cell: Cell, table: Table) -> Text:
    below = [Text(cell.spread, "dim"), Text(_mark(cell.notes, table), "yellow")]
    return Text("\n").join([Text(_mean(cell)), *(line for line in below if line)])


def _mean(cell: Cell) -> str:
    return DASH if cell.mean is None else f"{cell.mean:.2f}"


def _mark(notes: tuple[str, ...], table: Table) -> str:
    return "".join(f"[{number}]" for number in table.numbers(notes))


def draw_ablation(found: Ablation) -> str:
    """An ablation as text: a block a data set, as many side by side as the window holds."""
    width = _window()
    return _printed(_ablation(found, width), width) + "\n"


def _ablation(found: Ablation, width: int) -> Iterator[RenderableType]:
    kind = ""
    for grid in found.grids:
        if grid.kind != kind:
            kind = grid.kind
            yield Rule(Text(grids.TITLES[grid.kind], "bold"), align="left", style="dim")
        heading = Text(grid.title, "bold cyan")
        yield heading.append(f"    printed: {grid.printed_in}" if grid.printed_in else "", "not bold dim")
        yield from (drawn for part in _side_by_side(grid, found, width) for drawn in (part, ""))
    yield from (Text(line, "dim") for line in grids.CAPTION)
    yield from (Text(f"[{number}] {note}") for number, note in enumerate(found.notes, 1))
    yield from (Text(remark, "yellow") for remark in found.remarks)


def _side_by_side(grid: grids.Grid, found: Ablation, width: int) -> Iterator[Grid]:
    """The blocks of the data sets, in as many tables as the window needs."""
    rows = [row for line in grid.lines for row in _ablated(grid, line, found)]
    blocks = [block for row in rows for block in row.blocks if block[1:]]
    digits = 3 + max(1, *(len(block[0]) for block in blocks)), 1 + max(7, *(len(text) for block in blocks for text in block[1:]))
    names = ("n", *(METRICS[metric] for metric in grid.metrics))
    above = [grid.heading(column) for column in grid.columns]
    heads = ["\n".join((*lines, *[""] * (max(map(len, above)) - len(lines)), _block(names, digits))) for lines in above]
    widest = max(len(line) for head in heads for line in head.splitlines())
    longest = min(NAME_WIDTH, max(10, width - widest - 2), max(len(text) for text in (grid.kind, *(row.name for row in rows))))
    many = max(1, (width - longest) // (widest + 2))
    for start in range(0, len(heads), many):
        drawn = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, header_style="bold")
        drawn.add_column("\n" * max(map(len, above)) + grid.kind, width=longest, overflow="fold")
        for head in heads[start : start + many]:
            drawn.add_column(Text(head), no_wrap=True, width=widest)
        for row in rows:
            own = row.blocks[start : start + many]
            if any(map(any, own)) or row.about:
                drawn.add_row(row.name, *(_block(block, digits) for block in own), style=row.style)
        yield drawn


class _Row(NamedTuple):
    """One printed line of an ablation: a block a data set, of n and the metrics, or of one text in their place."""

    name: str
    blocks: list[tuple[str, ...]]
    style: str = ""
    about: bool = False  # whether its name says something where its blocks do not


def _ablated(grid: grids.Grid, line: Line, found: Ablation) -> Iterator[_Row]:
    """The means, their intervals, and where there are such what is printed and the difference."""
    rows = [line.measured.get(column) for column in grid.columns]
    absent = NOT_RUN if line.runs else DASH
    marked = [
        (f"{found.mark(row.notes)}{row.n}", *(_mean(row.measured[key]) for key in grid.metrics)) if row else (absent,)
        for row in rows
    ]
    name, *settings = line.subject
    yield _Row(f"{name} {found.mark(line.notes)}".rstrip(), marked)
    if line.measured or settings:
        spreads = [("", *(row.measured[key].spread for key in grid.metrics)) if row else () for row in rows]
        yield _Row(", ".join(settings), spreads, "dim", about=bool(settings))
    if line.printed:
        cells = [line.printed.get(column) for column in grid.columns]
        yield _Row("  printed", [("", *(_marked(own[key], found) for key in grid.metrics)) if own else () for own in cells])
    differences = [("", *(line.shown_difference(column, key) for key in grid.metrics)) for column in grid.columns]
    if any(map(any, differences)):
        yield _Row("  difference", differences)


def _marked(cell: Cell, found: Ablation) -> str:
    return f"{found.mark(cell.notes)} {_mean(cell)}".lstrip()


def _block(texts: Sequence[str], digits: tuple[int, int]) -> str:
    """n and the metrics, each as wide as the widest of its kind."""
    first, *numbers = texts or ("",)
    return f"{first:>{digits[0]}}" + "".join(f"{number:>{digits[1]}}" for number in numbers)


def _style(row: Row) -> str:
    return "" if row.rank else "dim"


MEMBER = Terminal

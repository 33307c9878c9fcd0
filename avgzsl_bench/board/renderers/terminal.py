"""The leaderboard for a terminal: one line a row where the window is wide, two where it is not."""

import io
import shutil
import sys
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table as Grid
from rich.text import Text

from avgzsl_bench.board.cells import DASH, METRICS, UNITS, Cell, Row
from avgzsl_bench.board.table import CAPTION, RULES, UNMEASURED, Section, Table
from avgzsl_bench.contracts import Renderer

WIDE = 170  # one line a row from here on
TIGHT = 96  # single spaces between columns up to here
UNKNOWN_WIDTH = 100  # of a pipe or a file


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
        yield from (Text(f"  {remark}", "dim") for remark in section.remarks)
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
        number = name in ("tie", "n")
        grid.add_column(name, justify="right" if number else "left", overflow="fold", min_width=20 if name == "method" else None)
    for name in METRICS.values() if section.measured else ():
        grid.add_column(name, justify="right", no_wrap=True)
    for name in METRICS.values() if section.printed_in else ():
        grid.add_column(f"{name}\npubl.", justify="right", no_wrap=True)


def _wide(grid: Grid, section: Section, table: Table) -> None:
    """One line a row; the settings that changed stand below the method."""
    _columns(grid, ("tie", "method", "recipe", "source", "n"), section)
    for row in section.rows:
        about = (row.recipe, row.source, str(row.n or DASH))
        numbers = (_line(cell, table) for cell in _cells(section, row))
        grid.add_row(str(row.tie_group or DASH), _name(row, table, *_sure(row)), *about, *numbers, style=_style(row))


def _narrow(grid: Grid, section: Section, table: Table) -> None:
    """Two lines a row: what was run stands below the method, the interval below the mean."""
    _columns(grid, ("tie", "method"), section)
    for row in section.rows:
        about = [f"{row.recipe} · {row.source} · n={row.n}"] if row.n else []
        numbers = (_stack(cell, table) for cell in _cells(section, row))
        grid.add_row(str(row.tie_group or DASH), _name(row, table, *about, *_sure(row)), *numbers, style=_style(row))


def _bare(grid: Grid, section: Section, table: Table) -> None:
    """Systems and their published numbers, where nothing is measured."""
    _columns(grid, ("method",), section)
    for row in section.rows:
        grid.add_row(_name(row, table), *(_line(cell, table) for cell in _cells(section, row)))


def _cells(section: Section, row: Row) -> list[Cell]:
    return [*row.measured.values()] * section.measured + [*row.published.values()] * bool(section.printed_in)


def _sure(row: Row) -> list[str]:
    """What is known of a row's harmonic mean beside its spread over seeds, a line each."""
    over = [f"{interval} over {unit}" for unit in UNITS if (interval := row.over(unit))]
    lines = [f"HM {'; '.join(over)}"] * bool(over)
    lines += [f"HM {row.versus}"] * bool(row.versus)
    against = row.against.get("harmonic_mean")
    lines += [f"HM less the published one: {against}"] * bool(against)
    return lines + [f"S unshared {row.unshared}"] * (row.unshared.mean is not None)


def _name(row: Row, table: Table, *about: str) -> Group:
    name = Text(row.name, "bold" if row.tie_group == 1 else "")
    name.append(f" {_mark(row.notes, table)}".rstrip(), "yellow")
    below = [line for line in (", ".join(row.changed), *about) if line]
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


def _style(row: Row) -> str:
    return "" if row.tie_group else "dim"


MEMBER = Terminal

"""The leaderboard as GitHub Markdown: `leaderboards/README.md` is made by it."""

from collections.abc import Iterator

from tabulate import tabulate

from avgzsl_bench.board import grids
from avgzsl_bench.board.cells import DASH, METRICS, Cell, Row
from avgzsl_bench.board.grids import NOT_RUN, Ablation, Column, Grid, Line
from avgzsl_bench.board.table import CAPTION, RULES, UNMEASURED, Section, Table
from avgzsl_bench.contracts import Renderer

HEADERS = ("#", "method", "encoder", "text", "changed", "recipe", "source", "n", *METRICS.values())
PUBLISHED = tuple(f"{name} (published)" for name in METRICS.values())


class Markdown(Renderer):
    """A page: one table a section under a heading a rules value, footnotes at the end."""

    suffix = ".md"

    def render(self, table: Table) -> str:
        return "\n\n".join(_page(table)) + "\n"


def _page(table: Table) -> Iterator[str]:
    yield "# Leaderboard"
    yield "Made by `avgzsl leaderboard` from records: change those, not this page."
    yield "\n".join(f"- {line}" for line in CAPTION)
    rules = ""
    for section in table.sections:
        if section.place.rules != rules:
            rules = section.place.rules
            yield f"## Rules: {rules}" if rules != UNMEASURED else "## Published only"
            about = RULES.get(rules, "rules of another version")
            yield f"{about[:1].upper()}{about[1:]}."
        yield f"### {_escape(section.title)}"
        if section.printed_in:
            yield f"Published numbers: {_escape(section.printed_in)}."
        yield _rows(section, table)
    notes = [f"{number}. {_escape(note)}" for number, note in enumerate(table.notes, 1)]
    remarks = [f"- {_escape(remark)}" for remark in table.remarks]
    yield from ("\n".join(lines) for lines in (["## Notes"], notes, remarks) if notes or remarks if lines)


def _rows(section: Section, table: Table) -> str:
    """Columns that say nothing in any row of the section are left out."""
    headers = (*HEADERS, *PUBLISHED)
    lines = [_line(row, table) for row in section.rows]
    kept = [i for i in range(len(headers)) if any(line[i] not in ("", DASH) for line in lines)]
    align = ["left" if 0 < i < 7 else "right" for i in kept]
    body = [[line[i] for i in kept] for line in lines]
    return str(tabulate(body, [headers[i] for i in kept], "github", colalign=align, disable_numparse=True))


def _line(row: Row, table: Table) -> list[str]:
    texts = (row.name, row.encoder, row.text, ", ".join(row.changed), row.recipe, row.source)
    escaped = [_escape(text) for text in texts]
    escaped[0] += _mark(row.notes, table)
    measured = [_number(cell, table) for cell in row.measured.values()]
    printed = [_number(cell, table) for cell in row.published.values()]
    return [str(row.rank or DASH), *escaped, str(row.n or DASH), *measured, *printed]


def _number(cell: Cell, table: Table) -> str:
    return f"{cell}{_mark(cell.notes, table)}"


def _mark(notes: tuple[str, ...], table: Table) -> str:
    return "".join(f"<sup>{number}</sup>" for number in table.numbers(notes))


def ablation_page(found: Ablation) -> str:
    """An ablation as a page: one table a text (or encoder), the printed numbers in lines of their own."""
    parts = ["# Ablation of class text", "\n".join(f"- {line}" for line in grids.CAPTION)]
    kind = ""
    for grid in found.grids:
        parts += [f"## {grids.TITLES[grid.kind]}"] * (grid.kind != kind)
        kind = grid.kind
        parts.append(f"### {_escape(grid.title)}")
        parts += [f"Printed numbers: {_escape(grid.printed_in)}."] * bool(grid.printed_in)
        parts.append(_grid(grid, found))
    notes = [f"{number}. {_escape(note)}" for number, note in enumerate(found.notes, 1)]
    remarks = [f"- {_escape(remark)}" for remark in found.remarks]
    return "\n\n".join([*parts, *("\n".join(lines) for lines in (notes, remarks) if lines)]) + "\n"


def _grid(grid: Grid, found: Ablation) -> str:
    names = ("n", *(METRICS[metric] for metric in grid.metrics))
    above = ["<br>".join(map(_escape, grid.heading(column))) for column in grid.columns]
    headers = [grid.kind, *(f"{title}<br>{name}" for title in above for name in names)]
    body = [cells for line in grid.lines for cells in _ablated(grid, line, found)]
    align = ["left", *["right"] * (len(headers) - 1)]
    return str(tabulate(body, headers, "github", colalign=align, disable_numparse=True))


def _ablated(grid: Grid, line: Line, found: Ablation) -> Iterator[list[str]]:
    """What was measured, and below it, where there are such, what is printed and the difference."""
    across = [(column, metric) for column in grid.columns for metric in ("n", *grid.metrics)]
    yield [f"{_escape(', '.join(line.subject))}{_sup(found.mark(line.notes))}", *(_own(line, *at, found) for at in across)]
    if line.printed:
        yield ["*printed*", *("" if metric == "n" else _theirs(line, column, metric, found) for column, metric in across)]
    differences = ["" if metric == "n" else line.shown_difference(column, metric) for column, metric in across]
    if any(differences):
        yield ["*difference*", *differences]


def _own(line: Line, column: Column, metric: str, found: Ablation) -> str:
    row = line.measured.get(column)
    if row is None:
        return (NOT_RUN if line.runs else DASH) if metric == "n" else ""
    return f"{row.n}{_sup(found.mark(row.notes))}" if metric == "n" else str(row.measured[metric])


def _theirs(line: Line, column: Column, metric: str, found: Ablation) -> str:
    cell = line.printed[column][metric] if column in line.printed else None
    return "" if cell is None else f"{cell}{_sup(found.mark(cell.notes))}"


def _sup(marks: str) -> str:
    return marks.replace("[", "<sup>").replace("]", "</sup>")


def _escape(text: str) -> str:
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return text


MEMBER = Markdown

"""Grids as LaTeX: a booktabs tabular a grid, no wider than the line, and below it what must be read with it."""

from collections.abc import Callable, Iterator
from typing import Any

from avgzsl_bench.board.cells import DASH, METRICS, Cell
from avgzsl_bench.board.grids import NOT_RUN, Column, Drawn, Line, Page
from avgzsl_bench.board.renderers._tex import escape


def draw(page: Page[Any]) -> str:
    """Tables, what must be read with them, and the footnotes; needs \\usepackage{booktabs,graphicx}."""
    tables = [line for grid in page.grids for line in _table(grid, page)]
    notes = [f"[{number}] {note}" for number, note in enumerate(page.notes, 1)]
    below = [rf"{{\footnotesize {escape(text)}\par}}" for text in (*page.heading, *page.words, *page.remarks, *notes)]
    return "\n".join([f"% {page.title}", r"% Needs \usepackage{booktabs,graphicx}.", *tables, *below]) + "\n"


def _table(grid: Drawn, page: Page[Any]) -> Iterator[str]:
    names = ("n", *(METRICS[metric] for metric in grid.metrics))
    wide, starts = len(names), [2 + i * len(names) for i in range(len(grid.columns))]
    yield rf"{{\footnotesize {escape(grid.title)}{escape(f'; printed: {grid.printed_in}') if grid.printed_in else ''}\par}}"
    yield r"\noindent\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    yield rf"\begin{{tabular}}{{l{'r' * wide * len(grid.columns)}}}"
    yield r"\toprule"
    titles = [rf"\multicolumn{{{wide}}}{{c}}{{{escape(', '.join(grid.heading(column)))}}}" for column in grid.columns]
    yield f" & {' & '.join(titles)} \\\\"
    yield " ".join(rf"\cmidrule(lr){{{start}-{start + wide - 1}}}" for start in starts)
    yield f"{escape(grid.head)} & {' & '.join(names * len(grid.columns))} \\\\"
    yield r"\midrule"
    for line in grid.lines:
        yield from _rows(grid, line, page)
    yield r"\bottomrule"
    yield r"\end{tabular}}\par\smallskip"


def _rows(grid: Drawn, line: Line, page: Page[Any]) -> Iterator[str]:
    """The means, their intervals, and where there are such what is printed and the difference."""
    name, *about = line.subject
    blocks = [_means(grid, line, column, page) for column in grid.columns]
    yield _row(escape(name) + _sup(page.mark(line.notes)), blocks)
    across: list[tuple[str, bool, Callable[[Column, str], str]]] = [
        (
            rf"{{\scriptsize {escape(', '.join(about))}}}",
            bool(about or line.measured),
            lambda column, metric: _spread(line, column, metric),
        ),
        (r"\quad printed", bool(line.printed), lambda column, metric: _theirs(line, column, metric, page)),
        (
            r"\quad difference",
            bool(line.measured and line.printed),
            lambda column, metric: escape(line.shown_difference(column, metric)),
        ),
    ]
    for title, there, text in across:
        if there:
            yield _row(title, [["", *(text(column, metric) for metric in grid.metrics)] for column in grid.columns])


def _row(title: str, blocks: list[list[str]]) -> str:
    return f"{' & '.join([title, *(cell for block in blocks for cell in block)])} \\\\"


def _means(grid: Drawn, line: Line, column: Column, page: Page[Any]) -> list[str]:
    """The cells of a data set, or one across them that says why there are none."""
    row = line.measured.get(column)
    if row:
        return [f"{row.n}{_sup(page.mark(row.notes))}", *(_mean(row.measured[metric]) for metric in grid.metrics)]
    absent = f"{NOT_RUN}{_sup(page.mark(line.absent_for(column)))}" if line.runs else escape(DASH)
    return [rf"\multicolumn{{{1 + len(grid.metrics)}}}{{c}}{{{absent}}}"]


def _mean(cell: Cell) -> str:
    return escape(DASH) if cell.mean is None else f"{cell.mean:.2f}"


def _spread(line: Line, column: Column, metric: str) -> str:
    row = line.measured.get(column)
    return rf"{{\scriptsize {escape(row.measured[metric].spread)}}}" if row else ""


def _theirs(line: Line, column: Column, metric: str, page: Page[Any]) -> str:
    cell = line.printed[column][metric] if column in line.printed else None
    return "" if cell is None else f"{_mean(cell)}{_sup(page.mark(cell.notes))}"


def _sup(marks: str) -> str:
    return rf"\textsuperscript{{{marks}}}" if marks else ""

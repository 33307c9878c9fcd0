"""The leaderboard as LaTeX tables for a paper, one a key, in plain ASCII; they need booktabs, array and graphicx."""

import math
from collections.abc import Iterator, Sequence

from avgzsl_bench.board.cells import METRICS, Cell, Row
from avgzsl_bench.board.renderers._tex import escape
from avgzsl_bench.board.slugs import slugs
from avgzsl_bench.board.table import Section, Table, notes_of
from avgzsl_bench.contracts import Renderer

INLINE = 40  # letters of changed settings that stand beside the method; longer ones become a note
LINES = 46  # of rows and notes, that one page holds beside the caption
NAME_WIDTH = 30  # letters of a line of names
NOTE_WIDTH = 120  # and of notes
MEASURED = (
    " Measured: mean over n seeds ± the half-width of its 95 % t interval; ±– is a single run. Rows of one tie group are not "
    "told apart from its best row, and HM is bold in group 1; S, U and ZSL are not compared."
)
HEAD = (
    "% Made by `avgzsl leaderboard` from records: change those, not this file.\n% Needs \\usepackage{booktabs,array,graphicx}.\n"
)


class Latex(Renderer):
    """One table environment a key, in parts where it is longer than a page; notes stand below."""

    suffix = ".tex"

    def render(self, table: Table) -> str:
        names = slugs([section.place for section in table.sections])
        parts = [part for section, name in zip(table.sections, names, strict=True) for part in _parts(section, name)]
        remarks = [f"% {escape(remark)}\n" for remark in table.remarks]
        return "\n".join([HEAD + "".join(remarks), *parts])


def _parts(section: Section, name: str) -> Iterator[str]:
    notes = list(dict.fromkeys(note for row in section.rows for note in _notes(row)))
    parts = _pages(section.rows)
    for number, rows in enumerate(parts, 1):
        yield _environment(section, rows, notes, name, f" ({number} of {len(parts)})" if len(parts) > 1 else "", number)


def _pages(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with their notes, as many to a part as a page holds."""
    parts: list[list[Row]] = [[]]
    told: set[str] = set()
    lines = 0
    for row in rows:
        more = _lines(row, told)
        if parts[-1] and lines + more > LINES:
            parts.append([])
            told, lines = set(), 0
            more = _lines(row, told)
        parts[-1].append(row)
        told |= set(_notes(row))
        lines += more
    return parts


def _lines(row: Row, told: set[str]) -> int:
    notes = sum(math.ceil(len(note) / NOTE_WIDTH) for note in set(_notes(row)) - told)
    return math.ceil(len(_name(row)) / NAME_WIDTH) + notes


def _environment(section: Section, rows: Sequence[Row], notes: list[str], name: str, part: str, number: int) -> str:
    measured, printed = section.measured, bool(section.printed_in)
    columns = "r" * measured + r">{\raggedright\arraybackslash}p{4.6cm}" + "r" * measured + "r" * 4 * (measured + printed)
    lines = [_line(row, notes, measured, printed) for row in rows]
    told = [note for note in notes if any(note in _notes(row) for row in rows)]
    below = "".join(f"{notes.index(note) + 1}. {escape(note)}\\par\n" for note in told)
    return (
        "\\begin{table}[tp]\n\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}\\abovecaptionskip=0pt\\belowcaptionskip=5pt\n"
        f"\\caption{{{_caption(section)}{part}}}\n\\label{{tab:{name}{f'-{number}' * (number > 1)}}}\n"
        f"\\sbox0{{%\n\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n\\toprule\n{_head(measured, printed)}\\midrule\n"
        + "".join(f"{line} \\\\\n" for line in lines)
        + "\\bottomrule\n\\end{tabular}}%\n"
        "\\ifdim\\wd0>\\linewidth\\resizebox{\\linewidth}{!}{\\usebox0}\\else\\usebox0\\fi\n"
        + (
            f"\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\scriptsize\\raggedright\n{below}\\end{{minipage}}\n"
            if told
            else ""
        )
        + "\\end{table}\n"
    )


def _caption(section: Section) -> str:
    said = f", rules {section.place.rules}. Per cent.{MEASURED}" if section.measured else ". Per cent."
    printed = " Published: single runs under their authors' rules." if section.printed_in else ""
    return escape(f"{section.title}{said}{printed}")


def _head(measured: bool, printed: bool) -> str:
    start = 4 if measured else 2
    names = ["Tie", "Method", "$n$"] if measured else ["Method"]
    groups = ["Measured"] * measured + ["Published"] * printed
    above = " & " * (len(names) - 1) + "".join(f" & \\multicolumn{{4}}{{c}}{{{group}}}" for group in groups)
    rules = "".join(f"\\cmidrule(lr){{{start + 4 * i}-{start + 4 * i + 3}}}" for i in range(len(groups)))
    return f"{above} \\\\\n{rules}\n{' & '.join([*names, *[*METRICS.values()] * len(groups)])} \\\\\n"


def _line(row: Row, notes: list[str], measured: bool, printed: bool) -> str:
    name = f"{escape(_name(row))}{_marks([*row.notes, *_told(row)], notes)}"
    first = [str(row.tie_group or "--"), name, str(row.n or "--")] if measured else [name]
    best = "harmonic_mean" if row.tie_group == 1 else ""
    cells = [_number(cell, notes, metric == best) for metric, cell in row.measured.items()] if measured else []
    return " & ".join([*first, *cells, *(_number(cell, notes) for cell in (row.published.values() if printed else ()))])


def _number(cell: Cell, notes: list[str], bold: bool = False) -> str:
    if cell.mean is None:
        return "--"
    mean = f"\\textbf{{{cell.mean:.2f}}}" if bold else f"{cell.mean:.2f}"
    spread = f" {{\\scriptsize {escape(cell.spread)}}}" if cell.spread else ""
    marks = _marks(cell.notes, notes)
    return f"{mean}{spread}\\rlap{{{marks}}}" if marks else f"{mean}{spread}"  # no width, so that the points stay in line


def _marks(own: Sequence[str], notes: list[str]) -> str:
    numbers = ",".join(str(number) for number in sorted({notes.index(note) + 1 for note in own}))
    return f"\\textsuperscript{{{numbers}}}" if numbers else ""


def _name(row: Row) -> str:
    """The method, and beside it what is changed, where that is short."""
    changed = ", ".join(row.changed)
    return f"{row.name} ({changed})" if 0 < len(changed) <= INLINE else row.name


def _notes(row: Row) -> list[str]:
    return [*_told(row), *notes_of(row)]


def _told(row: Row) -> Iterator[str]:
    """What has no room in the row: many changed settings, and where printed numbers stand."""
    if len(changed := ", ".join(row.changed)) > INLINE:
        yield f"{changed}."
    if row.printed_in:
        yield f"Published: {row.printed_in}."


MEMBER = Latex
